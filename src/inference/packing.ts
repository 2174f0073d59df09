/**
 * Packs sequences that share a beginning for one forward pass: a group's longest common prefix is computed once, and the
 * rest of each of its sequences is a run on that prefix. The layout is that of a training pack (data/packing.ts) with any
 * number of branches in place of two. Only rows that predict a scored token reach the head; where sequences part, one
 * row has several targets.
 */
import { commonPrefix, ENTRY_WORDS, emptyTables, type Pack, TILE_WORDS } from '../data/packing';

/** A token sequence of which the tokens from `scoredFrom` (at least 1) on are scored. */
export interface ScoredSequence {
  ids: readonly number[];
  scoredFrom: number;
}

/** Sequences with a common beginning, and what they need in a pack. */
export interface BranchGroup {
  sequences: readonly ScoredSequence[];
  prefix: number;
  tokens: number;
  rows: number;
  entries: number;
  tiles: number;
  /** Longest sequence. */
  positions: number;
}

/** The tables of one pass, ready to upload; arrays are exactly as long as the counts say. */
export interface BranchPack
  extends Pick<
    Pack,
    'tokens' | 'rows' | 'entries' | 'tiles' | 'ids' | 'positions' | 'tileTable' | 'rowTokens' | 'span'
  > {
  /** Per entry: row, target, 0, 0. Sequence by sequence in the order given, so that its scores lie together. */
  entryTable: Uint32Array<ArrayBuffer>;
}

/** Tokens that are read: all but a last one that is only predicted. */
const inputsOf = ({ ids, scoredFrom }: ScoredSequence): number => ids.length - (scoredFrom < ids.length ? 1 : 0);

const sharedPrefix = (sequences: readonly ScoredSequence[]): number =>
  sequences.reduce((n, s) => Math.min(n, inputsOf(s), commonPrefix(sequences[0].ids, s.ids)), sequences[0].ids.length);

/**
 * @param share false: every sequence is computed by itself, as if it were alone
 * @throws RangeError for an empty group or a sequence with nothing before its first scored token
 */
export function branchGroup(sequences: readonly ScoredSequence[], tile: number, share = true): BranchGroup {
  if (sequences.length === 0 || sequences.some(({ scoredFrom }) => scoredFrom < 1)) {
    throw new RangeError('a scored sequence needs a token before the first scored one');
  }
  const prefix = share && sequences.length > 1 ? sharedPrefix(sequences) : 0;
  const tiles = (length: number) => Math.ceil(length / tile);
  const group = { sequences, prefix, tokens: prefix, rows: 0, entries: 0, tiles: tiles(prefix), positions: 0 };
  let sharedFrom = prefix;
  for (const sequence of sequences) {
    const { ids, scoredFrom } = sequence;
    group.tokens += inputsOf(sequence) - prefix;
    group.tiles += tiles(inputsOf(sequence) - prefix);
    group.entries += Math.max(0, ids.length - scoredFrom);
    group.rows += Math.max(0, ids.length - 1 - Math.max(prefix, scoredFrom - 1));
    group.positions = Math.max(group.positions, ids.length);
    // Rows of the prefix that predict a scored token of this sequence.
    if (scoredFrom < ids.length) sharedFrom = Math.min(sharedFrom, scoredFrom - 1);
  }
  group.rows += prefix - sharedFrom;
  return group;
}

export function packBranches(groups: readonly BranchGroup[], tile: number): BranchPack {
  const pack: BranchPack = emptyTables(groups);
  let token = 0;
  let row = 0;
  let entry = 0;
  let tileAt = 0;
  let keys = 0;

  /** Puts down tokens [from, to) of a sequence as a run on a prefix that lies at [prefixStart, prefixEnd). */
  const addRun = (
    ids: readonly number[],
    from: number,
    to: number,
    prefixStart: number,
    prefixEnd: number,
    end: number,
  ) => {
    const start = token;
    for (let at = 0; at < to - from; at += tile) {
      const count = Math.min(tile, to - from - at);
      pack.tileTable.set([start + at, count, prefixStart, prefixEnd, start, end, 0, 0], tileAt++ * TILE_WORDS);
    }
    for (let t = from; t < to; t++) {
      pack.ids[token] = ids[t];
      pack.positions[token++] = t;
    }
    const length = to - from;
    keys += length * (prefixEnd - prefixStart) + (length * (length + 1)) / 2;
    return start;
  };

  for (const { sequences, prefix, tokens } of groups) {
    const start = token;
    const end = start + tokens;
    const from = Math.min(prefix, ...sequences.map((s) => (s.scoredFrom < s.ids.length ? s.scoredFrom - 1 : prefix)));
    addRun(sequences[0].ids, 0, prefix, start, start, end);
    const firstPrefixRow = row;
    for (let t = from; t < prefix; t++) pack.rowTokens[row++] = start + t;
    for (const sequence of sequences) {
      const { ids, scoredFrom } = sequence;
      const inputs = inputsOf(sequence);
      const run = addRun(ids, prefix, inputs, start, start + prefix, token + inputs - prefix);
      for (let t = scoredFrom; t < ids.length; t++) {
        const before = t - 1;
        let at = firstPrefixRow + before - from;
        if (before >= prefix) {
          at = row++;
          pack.rowTokens[at] = run + before - prefix;
        }
        pack.entryTable.set([at, ids[t], 0, 0], entry++ * ENTRY_WORDS);
      }
    }
  }
  pack.span = keys / Math.max(1, pack.tokens);
  return pack;
}
