/**
 * Packs pairs end to end for one pass through the model: no padding, and the prompt that both answers of a pair share
 * is computed once. A pair is up to three runs: the longest common prefix of its two sequences, the rest of chosen,
 * the rest of rejected; both rests continue the prefix's positions.
 *
 * The loss sees entries: (row of hidden states, target token, roles). A row at the point where the answers part has
 * two entries. Rows without an entry never reach the head.
 */
import type { TokenizedPair } from './types';

/** Roles of an entry, as bits (orpo_loss.wgsl). */
export const NLL = 1;
export const CHOSEN = 2;
export const REJECTED = 4;
/** Sides that a row of hidden states belongs to, as bits. */
const IN_CHOSEN = 1;
const IN_REJECTED = 2;

export const TILE_WORDS = 8;
export const ENTRY_WORDS = 4;
export const PAIR_WORDS = 8;

/** What a pair needs in a pack. */
export interface PairShape {
  tokens: number;
  rows: number;
  entries: number;
  tiles: number;
  /** Entries with the NLL role: N of the spec. */
  nllTokens: number;
  chosenLength: number;
  rejectedLength: number;
  /** Rows that count for logits/chosen and for logits/rejected. */
  chosenRows: number;
  rejectedRows: number;
}

/** Scales of a pair's two loss terms within its optimizer step: 1 / (G N) and beta / (G B). */
export interface PairScales {
  nll: number;
  oddsRatio: number;
}

/** The tables of one pack, ready to upload. Counts come first; arrays are exactly that long. */
export interface Pack {
  pairs: number;
  tokens: number;
  rows: number;
  entries: number;
  tiles: number;
  ids: Uint32Array<ArrayBuffer>;
  positions: Uint32Array<ArrayBuffer>;
  /** Per tile: start, count, prefixStart, prefixEnd, runStart, queryEnd, 0, 0. */
  tileTable: Uint32Array<ArrayBuffer>;
  /** Token of each row that the head sees. */
  rowTokens: Uint32Array<ArrayBuffer>;
  rowSides: Uint32Array<ArrayBuffer>;
  /** First entry of each row, and the number of entries at the end. */
  rowEntries: Uint32Array<ArrayBuffer>;
  /** Per entry: row, target, roles, 0. */
  entryTable: Uint32Array<ArrayBuffer>;
  /** Per pair: first entry, entries, chosen length, rejected length, first row, rows, nll scale, odds-ratio scale (f32). */
  pairTable: Uint32Array<ArrayBuffer>;
  /** Mean number of keys that a query attends to. */
  span: number;
}

interface Target {
  id: number;
  roles: number;
}

/** Length of the longest common prefix. */
export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const end = Math.min(a.length, b.length);
  let i = 0;
  while (i < end && a[i] === b[i]) i++;
  return i;
}

/** Role bits of the token at `at` of each sequence. */
const chosenRoles = (pair: TokenizedPair, at: number, nllOnPrompt: boolean): number => {
  const answer = pair.chosen_labels[at] !== -100;
  return (answer || nllOnPrompt ? NLL : 0) | (answer ? CHOSEN : 0);
};
const rejectedRoles = (pair: TokenizedPair, at: number): number => (pair.rejected_labels[at] !== -100 ? REJECTED : 0);

/**
 * Calls `visit` for every token of the pair in packed order with its targets (0, 1 or 2) and the sides it belongs to.
 */
function visitTokens(
  pair: TokenizedPair,
  nllOnPrompt: boolean,
  visit: (id: number, position: number, targets: readonly Target[], sides: number) => void,
): void {
  const { chosen_input_ids: c, rejected_input_ids: r } = pair;
  const prefix = commonPrefix(c, r);
  const chosenTarget = (at: number): Target[] => {
    const roles = at < c.length ? chosenRoles(pair, at, nllOnPrompt) : 0;
    return roles ? [{ id: c[at], roles }] : [];
  };
  const rejectedTarget = (at: number): Target[] => {
    const roles = at < r.length ? rejectedRoles(pair, at) : 0;
    return roles ? [{ id: r[at], roles }] : [];
  };
  const sidesAt = (position: number, inChosen: boolean, inRejected: boolean): number =>
    (inChosen && position + 1 < c.length ? IN_CHOSEN : 0) | (inRejected && position + 1 < r.length ? IN_REJECTED : 0);

  for (let t = 0; t < prefix; t++) {
    const next = t + 1;
    let targets: Target[];
    if (next < prefix) {
      const roles = chosenRoles(pair, next, nllOnPrompt) | rejectedRoles(pair, next);
      targets = roles ? [{ id: c[next], roles }] : [];
    } else {
      targets = [...chosenTarget(next), ...rejectedTarget(next)];
    }
    visit(c[t], t, targets, sidesAt(t, true, true));
  }
  for (let t = prefix; t < c.length; t++) visit(c[t], t, chosenTarget(t + 1), sidesAt(t, true, false));
  for (let t = prefix; t < r.length; t++) visit(r[t], t, rejectedTarget(t + 1), sidesAt(t, false, true));
}

const countTiles = (length: number, tile: number): number => Math.ceil(length / tile);

/** Size of a pair in a pack with attention tiles of `tile` tokens. */
export function pairShape(pair: TokenizedPair, nllOnPrompt: boolean, tile: number): PairShape {
  const { chosen_input_ids: c, rejected_input_ids: r } = pair;
  const prefix = commonPrefix(c, r);
  const shape: PairShape = {
    tokens: c.length + r.length - prefix,
    rows: 0,
    entries: 0,
    tiles: countTiles(prefix, tile) + countTiles(c.length - prefix, tile) + countTiles(r.length - prefix, tile),
    nllTokens: 0,
    chosenLength: 0,
    rejectedLength: 0,
    chosenRows: 0,
    rejectedRows: 0,
  };
  visitTokens(pair, nllOnPrompt, (_id, _position, targets, sides) => {
    if (targets.length) {
      shape.rows++;
      if (sides & IN_CHOSEN) shape.chosenRows++;
      if (sides & IN_REJECTED) shape.rejectedRows++;
    }
    shape.entries += targets.length;
    for (const { roles } of targets) {
      if (roles & NLL) shape.nllTokens++;
      if (roles & CHOSEN) shape.chosenLength++;
      if (roles & REJECTED) shape.rejectedLength++;
    }
  });
  return shape;
}

type Counted = 'tokens' | 'rows' | 'entries' | 'tiles';

/** Tables as long as these parts need together, to be filled. */
export function emptyTables(parts: readonly Record<Counted, number>[]) {
  const total = (key: Counted) => parts.reduce((sum, part) => sum + part[key], 0);
  const [tokens, rows, entries, tiles] = (['tokens', 'rows', 'entries', 'tiles'] as const).map(total);
  return {
    ...{ tokens, rows, entries, tiles },
    ids: new Uint32Array(tokens),
    positions: new Uint32Array(tokens),
    tileTable: new Uint32Array(tiles * TILE_WORDS),
    rowTokens: new Uint32Array(rows),
    entryTable: new Uint32Array(entries * ENTRY_WORDS),
    span: 0,
  };
}

/** Tokens of each run and of the whole pack that fit the given pairs. */
export function packPairs(
  pairs: readonly { pair: TokenizedPair; shape: PairShape; scales: PairScales }[],
  nllOnPrompt: boolean,
  tile: number,
): Pack {
  const tables = emptyTables(pairs.map(({ shape }) => shape));
  const pack: Pack = {
    ...tables,
    pairs: pairs.length,
    rowSides: new Uint32Array(tables.rows),
    rowEntries: new Uint32Array(tables.rows + 1),
    pairTable: new Uint32Array(pairs.length * PAIR_WORDS),
  };
  const pairFloats = new Float32Array(pack.pairTable.buffer);
  let token = 0;
  let row = 0;
  let entry = 0;
  let tileAt = 0;
  let keys = 0;

  const addRun = (start: number, length: number, prefixStart: number, prefixEnd: number, queryEnd: number) => {
    for (let at = 0; at < length; at += tile) {
      pack.tileTable.set(
        [start + at, Math.min(tile, length - at), prefixStart, prefixEnd, start, queryEnd, 0, 0],
        tileAt++ * TILE_WORDS,
      );
    }
    keys += length * (prefixEnd - prefixStart) + (length * (length + 1)) / 2;
  };

  pairs.forEach(({ pair, shape, scales }, i) => {
    const { chosen_input_ids: c, rejected_input_ids: r } = pair;
    const prefix = commonPrefix(c, r);
    const start = token;
    const end = start + shape.tokens;
    const chosenStart = start + prefix;
    const rejectedStart = start + c.length;
    addRun(start, prefix, start, start, end);
    addRun(chosenStart, c.length - prefix, start, chosenStart, rejectedStart);
    addRun(rejectedStart, r.length - prefix, start, chosenStart, end);

    const firstRow = row;
    const firstEntry = entry;
    visitTokens(pair, nllOnPrompt, (id, position, targets, sides) => {
      pack.ids[token] = id;
      pack.positions[token] = position;
      if (targets.length) {
        pack.rowTokens[row] = token;
        pack.rowSides[row] = sides;
        pack.rowEntries[row] = entry;
        for (const target of targets) {
          pack.entryTable.set([row, target.id, target.roles, 0], entry++ * ENTRY_WORDS);
        }
        row++;
      }
      token++;
    });
    pack.pairTable.set(
      [firstEntry, entry - firstEntry, shape.chosenLength, shape.rejectedLength, firstRow, row - firstRow],
      i * PAIR_WORDS,
    );
    pairFloats[i * PAIR_WORDS + 6] = scales.nll;
    pairFloats[i * PAIR_WORDS + 7] = scales.oddsRatio;
  });
  pack.rowEntries[row] = entry;
  pack.span = keys / Math.max(1, pack.tokens);
  return pack;
}
