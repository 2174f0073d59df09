/** Packs of pairs: tables by hand for small cases, and for random ones the loss and gradients of the unpacked pairs. */
import { describe, expect, test } from 'vitest';
import { CHOSEN, commonPrefix, NLL, type Pack, packPairs, pairShape, REJECTED } from '../../src/data/packing';
import type { TokenizedPair } from '../../src/data/types';
import { type PackedBatch, packPairs as referencePack } from '../reference/batch';
import { lossAndGradients } from '../reference/model';
import type { LossEntry } from '../reference/orpo';
import { randomAdapter, randomModel, TINY_SHAPE } from '../reference/random-model';
import { createRng, type Rng } from '../reference/rng';
import { relativeL2 } from '../support/close';
import { pairOf } from '../support/pairs';

const UNIT = { nll: 1, oddsRatio: 1 };

function pack(pairs: TokenizedPair[], { nllOnPrompt = true, tile = 4, scales = pairs.map(() => UNIT) } = {}): Pack {
  return packPairs(
    pairs.map((pair, i) => ({ pair, shape: pairShape(pair, nllOnPrompt, tile), scales: scales[i] })),
    nllOnPrompt,
    tile,
  );
}

const rows = (table: Uint32Array, width: number): number[][] =>
  Array.from({ length: table.length / width }, (_, i) => [...table.subarray(i * width, (i + 1) * width)]);

describe('tables of a pack', () => {
  // Prompt 1 2 3; chosen goes on 4 5 6, rejected 4 7.
  const pair = pairOf(3, [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 7]);

  test('tokens and positions: the common prefix once, both rests continue it', () => {
    const p = pack([pair, pairOf(1, [8, 9], [8, 5])]);
    expect(p.tokens).toBe(7 + 3);
    expect([...p.ids]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 5]);
    expect([...p.positions]).toEqual([0, 1, 2, 3, 4, 5, 4, 0, 1, 1]);
  });

  test('attention tiles', () => {
    // start, count, prefixStart, prefixEnd, runStart, queryEnd
    expect(rows(pack([pair], { tile: 4 }).tileTable, 8).map((t) => t.slice(0, 6))).toEqual([
      [0, 4, 0, 0, 0, 7],
      [4, 2, 0, 4, 4, 6],
      [6, 1, 0, 4, 6, 7],
    ]);
    expect(rows(pack([pair], { tile: 3 }).tileTable, 8).map((t) => t.slice(0, 6))).toEqual([
      [0, 3, 0, 0, 0, 7],
      [3, 1, 0, 0, 0, 7],
      [4, 2, 0, 4, 4, 6],
      [6, 1, 0, 4, 6, 7],
    ]);
  });

  test('entries and roles; the branch point has two', () => {
    const p = pack([pair]);
    expect(rows(p.entryTable, 4)).toEqual([
      [0, 2, NLL, 0],
      [1, 3, NLL, 0],
      [2, 4, NLL | CHOSEN | REJECTED, 0],
      [3, 5, NLL | CHOSEN, 0],
      [3, 7, REJECTED, 0],
      [4, 6, NLL | CHOSEN, 0],
    ]);
    expect([...p.rowTokens]).toEqual([0, 1, 2, 3, 4]);
    expect([...p.rowEntries]).toEqual([0, 1, 2, 3, 5, 6]);
    expect([...p.rowSides]).toEqual([3, 3, 3, 3, 1]);
    expect(p.rows).toBe(5);
  });

  test('without the prompt in the NLL its rows never reach the head', () => {
    const p = pack([pair], { nllOnPrompt: false });
    expect([...p.rowTokens]).toEqual([2, 3, 4]);
    expect(rows(p.entryTable, 4)[0]).toEqual([0, 4, NLL | CHOSEN | REJECTED, 0]);
  });

  test('pair table: entries, lengths, rows and scales', () => {
    const scales = [
      { nll: 0.25, oddsRatio: 0.5 },
      { nll: 0.125, oddsRatio: 2 },
    ];
    const p = pack([pair, pairOf(1, [8, 9], [8, 5, 6])], { scales });
    expect(rows(p.pairTable, 8).map((r) => r.slice(0, 6))).toEqual([
      [0, 6, 3, 2, 0, 5],
      [6, 3, 1, 2, 5, 2],
    ]);
    const floats = new Float32Array(p.pairTable.buffer);
    expect([floats[6], floats[7], floats[14], floats[15]]).toEqual([0.25, 0.5, 0.125, 2]);
  });

  test('one sequence may be the beginning of the other', () => {
    const p = pack([pairOf(1, [1, 2, 3], [1, 2])]);
    expect(p.tokens).toBe(3);
    expect(rows(p.tileTable, 8).map((t) => t.slice(0, 6))).toEqual([
      [0, 2, 0, 0, 0, 3],
      [2, 1, 0, 2, 2, 3],
    ]);
    expect(rows(p.entryTable, 4)).toEqual([
      [0, 2, NLL | CHOSEN | REJECTED, 0],
      [1, 3, NLL | CHOSEN, 0],
    ]);
    expect([...p.rowSides]).toEqual([3, 1]);
    const back = pack([pairOf(1, [1, 2], [1, 2, 3])]);
    expect(rows(back.entryTable, 4)).toEqual([
      [0, 2, NLL | CHOSEN | REJECTED, 0],
      [1, 3, REJECTED, 0],
    ]);
    expect([...back.rowSides]).toEqual([3, 2]);
  });

  test('nothing in common, and everything', () => {
    const apart = pack([pairOf(1, [1, 2], [3, 2])]);
    expect([...apart.ids]).toEqual([1, 2, 3, 2]);
    expect([...apart.positions]).toEqual([0, 1, 0, 1]);
    expect(rows(apart.entryTable, 4).map((e) => e[2])).toEqual([NLL | CHOSEN, REJECTED]);
    const same = pack([pairOf(1, [1, 2, 3], [1, 2, 3])]);
    expect(same.tokens).toBe(3);
    expect(rows(same.entryTable, 4).map((e) => e[2])).toEqual([NLL | CHOSEN | REJECTED, NLL | CHOSEN | REJECTED]);
  });

  test('span is the mean number of keys of a query', () => {
    // Queries see 1 + 2 + 3 + 4 keys in the prefix, 5 + 6 in chosen's rest and 5 in rejected's.
    expect(pack([pair]).span).toBeCloseTo((10 + 11 + 5) / 7, 12);
  });

  test('commonPrefix', () => {
    expect(commonPrefix([], [1])).toBe(0);
    expect(commonPrefix([1, 2, 3], [1, 2])).toBe(2);
    expect(commonPrefix([1, 2, 3], [1, 5, 3])).toBe(1);
  });
});

/** A pair whose sequences share anything from nothing to all of the shorter one, the prompt or more. */
function anyPair(rng: Rng, vocab: number): TokenizedPair {
  const draw = (n: number) => Array.from({ length: n }, () => rng.int(vocab));
  const prompt = 1 + rng.int(5);
  const [chosen, rejected] = [draw(prompt + 1 + rng.int(5)), draw(prompt + 1 + rng.int(5))];
  const shared = rng.int(Math.min(chosen.length, rejected.length) + 1);
  for (let i = 0; i < shared; i++) rejected[i] = chosen[i];
  return pairOf(prompt, chosen, rejected);
}

/** A pack as the float64 reference takes it: runs from the tile table, entries by their roles. */
function asBatch(p: Pack, microOfPair: number[]): PackedBatch {
  const runs: PackedBatch['layout']['runs'] = [];
  for (const [start, count, prefixStart, prefixEnd, runStart] of rows(p.tileTable, 8)) {
    const last = runs.at(-1);
    if (start === runStart) runs.push({ start, end: start + count, prefixStart, prefixEnd });
    else if (last?.start === runStart && last.end === start) last.end += count;
    else throw new Error(`a tile at ${start} does not continue its run`);
  }
  const entries: LossEntry[] = [];
  rows(p.pairTable, 8).forEach(([first, count], pair) => {
    for (const [row, target, roles] of rows(p.entryTable, 4).slice(first, first + count)) {
      const common = { row: p.rowTokens[row], target, pair };
      if (roles & (NLL | CHOSEN)) {
        entries.push({ ...common, role: 'chosen', nll: (roles & NLL) > 0, answer: (roles & CHOSEN) > 0 });
      }
      if (roles & REJECTED) entries.push({ ...common, role: 'rejected', nll: false, answer: true });
    }
  });
  return { tokens: [...p.ids], layout: { runs }, positions: Int32Array.from(p.positions), entries, microOfPair };
}

test('packed loss and gradients are those of whole sequences, for random pairs', () => {
  const rng = createRng(5);
  const shape = { ...TINY_SHAPE, layers: 1 };
  const model = randomModel(rng, shape, false);
  const adapter = randomAdapter(rng, model, { rank: 2, scale: 2 });
  for (let round = 0; round < 40; round++) {
    const pairs = Array.from({ length: 1 + rng.int(3) }, () => anyPair(rng, shape.vocab));
    const micros = pairs.length === 3 ? [pairs.slice(0, 2), pairs.slice(2)] : [pairs];
    const microOfPair = micros.flatMap((group, m) => group.map(() => m));
    for (const nllOnPrompt of [true, false]) {
      const p = pack(pairs, { nllOnPrompt, tile: 1 + rng.int(6) });
      const options = { beta: 0.5 };
      const packed = lossAndGradients(model, adapter, asBatch(p, microOfPair), options);
      const whole = lossAndGradients(
        model,
        adapter,
        referencePack(micros, { nllOnPrompt, sharePrefix: false }),
        options,
      );
      expect(packed.loss).toBeCloseTo(whole.loss, 11);
      packed.micro.forEach(({ metrics }, m) => {
        for (const [name, value] of Object.entries(metrics)) {
          expect(value, name).toBeCloseTo(whole.micro[m].metrics[name as keyof typeof metrics], 11);
        }
      });
      for (const [key, grad] of packed.grads) expect(relativeL2(grad, whole.grads.get(key)!), key).toBeLessThan(1e-10);
      // Every key's queries are the contiguous range that the backward walks.
      for (const [start, count, prefixStart, prefixEnd, runStart, queryEnd] of rows(p.tileTable, 8)) {
        expect(prefixEnd).toBeLessThanOrEqual(runStart);
        expect(prefixStart).toBeLessThanOrEqual(prefixEnd);
        const users = rows(p.tileTable, 8).filter((t) => t[4] === runStart || (t[2] <= start && start < t[3]));
        expect(Math.max(...users.map((t) => t[0] + t[1]))).toBe(queryEnd);
        expect(start + count).toBeLessThanOrEqual(queryEnd);
      }
    }
  }
});

test('a pack that loses an entry does not have the loss of its pairs', () => {
  const rng = createRng(6);
  const model = randomModel(rng, { ...TINY_SHAPE, layers: 1 }, false);
  const adapter = randomAdapter(rng, model, { rank: 2, scale: 2 });
  const pairs = [anyPair(rng, TINY_SHAPE.vocab)];
  const batch = asBatch(pack(pairs), [0]);
  const whole = lossAndGradients(model, adapter, referencePack([pairs], { sharePrefix: false }), { beta: 0.5 });
  const broken = { ...batch, entries: batch.entries.slice(1) };
  expect(Math.abs(lossAndGradients(model, adapter, broken, { beta: 0.5 }).loss - whole.loss)).toBeGreaterThan(1e-4);
});

test('shapes add up to the pack', () => {
  const rng = createRng(7);
  for (let i = 0; i < 200; i++) {
    const pair = anyPair(rng, 30);
    for (const nllOnPrompt of [true, false]) {
      const shape = pairShape(pair, nllOnPrompt, 4);
      const p = pack([pair], { nllOnPrompt });
      expect([p.tokens, p.rows, p.entries, p.tiles]).toEqual([shape.tokens, shape.rows, shape.entries, shape.tiles]);
      expect(p.tileTable.length).toBe(8 * shape.tiles);
      expect(p.entryTable.length).toBe(4 * shape.entries);
      const answer = (labels: number[]) => labels.filter((l) => l !== -100).length;
      expect(shape.chosenLength).toBe(answer(pair.chosen_labels));
      expect(shape.rejectedLength).toBe(answer(pair.rejected_labels));
      expect(shape.nllTokens).toBe(nllOnPrompt ? pair.chosen_input_ids.length - 1 : shape.chosenLength);
      expect([...p.rowSides].filter((s) => s & 1)).toHaveLength(shape.chosenRows);
      expect([...p.rowSides].filter((s) => s & 2)).toHaveLength(shape.rejectedRows);
    }
  }
});
