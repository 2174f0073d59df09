/** Forward passes alone, against the float64 reference: packs of several branches, cached decoding, adapter on and off. */
import { describe, expect, test } from 'vitest';
import type { KernelProfile } from '../../src/gpu/profile';
import { type BranchGroup, branchGroup, packBranches, type ScoredSequence } from '../../src/inference/packing';
import { type InferenceCapacity, inferenceSpecs } from '../../src/inference/plan';
import { type AdapterSource, InferenceSession } from '../../src/inference/session';
import type { OpenModel } from '../../src/model/load';
import { loraLayout } from '../../src/model/lora';
import { TARGET_MODULES } from '../../src/train/hparams';
import { adapterMap, openModel } from '../model/support';
import { profiles } from '../ops/support';
import { type Adapter, type LlamaModel, sequenceLogits } from '../reference/model';
import { randomAdapter, randomModel, TINY_SHAPE } from '../reference/random-model';
import { createRng } from '../reference/rng';

const SHAPE = { ...TINY_SHAPE, intermediate: 20 };
const RANK = 3;
const rng = createRng(91);
const tokens = (count: number) => Array.from({ length: count }, () => rng.int(SHAPE.vocab));

/** ln p(ids[t] | ids before t) for the scored tokens. */
function logprobs(model: LlamaModel, adapter: Adapter, { ids, scoredFrom }: ScoredSequence): number[] {
  const { vocab } = model.shape;
  const logits = sequenceLogits(model, adapter, [...ids]);
  return ids.slice(scoredFrom).map((id, i) => {
    const row = logits.subarray((scoredFrom + i - 1) * vocab, (scoredFrom + i) * vocab);
    const top = Math.max(...row);
    return row[id] - top - Math.log(row.reduce((sum, z) => sum + Math.exp(z - top), 0));
  });
}

function source(open: OpenModel, adapter: Adapter, dora = false): AdapterSource {
  const settings = { lora_r: RANK, lora_alpha: 2 * RANK, use_rslora: false, use_dora: dora };
  const layout = loraLayout(open.config, { ...settings, target_modules: TARGET_MODULES }, 2 ** 27);
  const tensors = adapterMap(adapter);
  for (const { name, shape, values } of tensors.values()) {
    if (name.includes('magnitude')) tensors.set(name, { name, shape: [values.length], values });
    else expect(shape).toHaveLength(2);
  }
  return { layout, tensors };
}

const capacityOf = (groups: readonly BranchGroup[], more: Partial<InferenceCapacity> = {}): InferenceCapacity => {
  const sum = (key: 'tokens' | 'tiles' | 'rows' | 'entries') => groups.reduce((n, g) => n + g[key], 0);
  const positions = Math.max(...groups.map((g) => g.positions));
  return {
    tokens: sum('tokens'),
    tiles: sum('tiles'),
    rows: sum('rows'),
    entries: sum('entries'),
    positions,
    sequences: 0,
    ...more,
  };
};

/** A context with branches: one that is its beginning, one that is empty beyond it, one scored from its first token on. */
function branches(): ScoredSequence[][] {
  const context = tokens(21);
  const of = (more: number, scoredFrom = context.length): ScoredSequence => ({
    ids: [...context, ...tokens(more)],
    scoredFrom,
  });
  const nested = { ids: context.slice(0, 18), scoredFrom: 15 };
  return [
    [of(5), of(1), of(33), of(7)],
    [{ ids: tokens(2), scoredFrom: 1 }],
    [of(4), nested, of(2, 19)],
    [
      { ids: tokens(9), scoredFrom: 3 },
      { ids: tokens(5), scoredFrom: 1 },
    ],
    [
      { ids: context, scoredFrom: 20 },
      { ids: context, scoredFrom: 17 },
    ],
  ];
}

const cases: [string, boolean, boolean, KernelProfile][] = [
  ['direct, tied, DoRA', true, true, profiles.direct],
  ['tiles of 16, untied', false, false, profiles['tiles of 16']],
];

describe.each(cases)('%s', (_name, tied, dora, profile) => {
  const reference = randomModel(rng, SHAPE, tied);
  const adapter = randomAdapter(rng, reference, { rank: RANK, scale: 2, dora });

  test('branches of shared contexts: every scored token’s log-probability, adapter on and off', async () => {
    const open = await openModel(reference, {}, profile);
    const tile = profile.attentionTile;
    const sets = branches();
    const groups = sets.map((sequences) => branchGroup(sequences, tile));
    expect(groups[0].prefix).toBeGreaterThanOrEqual(21);
    const session = await InferenceSession.create(open, capacityOf(groups), source(open, adapter, dora));
    const planned = inferenceSpecs(open.config, source(open, adapter, dora).layout, session.capacity, true);
    expect([...session.memory.specs]).toEqual(planned);
    for (const on of [true, false]) {
      session.adapterOn = on;
      const scores = await session.score(packBranches(groups, tile));
      const expected = sets.flat().flatMap((s) => logprobs(reference, on ? adapter : [], s));
      expect(scores).toHaveLength(expected.length);
      scores.forEach((score, i) => {
        expect(Math.abs(score - expected[i])).toBeLessThan(2e-5);
      });
    }
    // The same, one sequence at a time: what the packing saves must not be seen. Thirteen more passes, so on one kind of kernel.
    const together = await session.score(packBranches(groups, tile));
    const apart: number[] = [];
    for (const alone of profile.direct ? sets.flat() : []) {
      apart.push(...(await session.score(packBranches([branchGroup([alone], tile)], tile))));
    }
    apart.forEach((score, i) => {
      expect(Math.abs(score - together[i])).toBeLessThan(1e-5);
    });
    // The negative control: another token before the scored ones.
    const other = sets[0].map(({ ids, scoredFrom }) => ({
      ids: [(ids[0] + 1) % SHAPE.vocab, ...ids.slice(1)],
      scoredFrom,
    }));
    const moved = await session.score(packBranches([branchGroup(other, tile)], tile));
    const before = sets[0].flatMap((s) => logprobs(reference, [], s));
    expect(Math.max(...moved.map((m, i) => Math.abs(m - before[i])))).toBeGreaterThan(1e-3);
    session.destroy();
    open.weightMemory.destroy();
  });

  test('logits of every step of cached decoding', async () => {
    const open = await openModel(reference, {}, profile);
    const tile = profile.attentionTile;
    const sequences = [tokens(70), tokens(9), tokens(33)];
    const steps = 6;
    const positions = 80;
    const prompts = sequences.map((ids) => ids.slice(0, -steps));
    const groups = prompts.map((ids) => branchGroup([{ ids, scoredFrom: ids.length }], tile));
    const capacity = capacityOf(groups, { positions, sequences: sequences.length, rows: 0, entries: 0 });
    const session = await InferenceSession.create(open, capacity, source(open, adapter, dora));
    for (const on of [true, false]) {
      session.adapterOn = on;
      const rows = prompts.flatMap((ids, s) => ids.map((_, t) => s * positions + t));
      const last = Uint32Array.from(prompts, (_, s) => prompts.slice(0, s + 1).flat().length - 1);
      await session.prefill({ ...packBranches(groups, tile), cacheRows: Uint32Array.from(rows) }, last);
      for (let step = 0; step <= steps; step++) {
        const logits = await session.readLogits(sequences.length);
        sequences.forEach((ids, s) => {
          const upTo = ids.slice(0, prompts[s].length + step);
          const expected = sequenceLogits(reference, on ? adapter : [], upTo).slice(-SHAPE.vocab);
          expected.forEach((z, i) => {
            expect(Math.abs(logits[s][i] - z)).toBeLessThan(5e-5);
          });
        });
        if (step === steps) break;
        const at = prompts.map(({ length }) => length + step);
        await session.decode({
          ids: Uint32Array.from(sequences, (ids, s) => ids[at[s]]),
          positions: Uint32Array.from(at),
          cacheRows: Uint32Array.from(at, (t, s) => s * positions + t),
        });
      }
    }
    session.destroy();
    open.weightMemory.destroy();
  });
});

test('a pass beyond the capacity is refused', async () => {
  const open = await openModel(randomModel(rng, SHAPE));
  const group = branchGroup([{ ids: tokens(9), scoredFrom: 2 }], 16);
  const session = await InferenceSession.create(open, { ...capacityOf([group]), tokens: 7 });
  await expect(session.score(packBranches([group], 16))).rejects.toThrow('a pass of 8 tokens exceeds the planned 7');
  session.destroy();
  expect(() => branchGroup([{ ids: tokens(3), scoredFrom: 0 }], 16)).toThrow(RangeError);
});
