/** What decoding needs beside the ops of a whole pass: the cache of keys and values, attention over it, and the pick. */
import argmaxSource from '../../shaders/argmax.wgsl?raw';
import attentionSource from '../../shaders/decode_attention.wgsl?raw';
import attentionSumSource from '../../shaders/decode_attention_sum.wgsl?raw';
import kvStoreSource from '../../shaders/kv_store.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { KernelProfile } from '../gpu/profile';
import { itemGroups, rowConstants, rowGroups } from './rows';

export interface HeadShape {
  heads: number;
  kvHeads: number;
  headDim: number;
}

/** Keys that one workgroup of decode attention takes, which is also the number of its threads. */
const KEYS = 64;

/** Into how many parts the keys of the longest sequence are split. */
export const keySplits = (positions: number): number => Math.ceil(positions / KEYS);

/** Values of one token of one layer in the cache. */
export const cacheWidth = ({ kvHeads, headDim }: HeadShape): number => 2 * kvHeads * headDim;

/** f32 values of scratch for decode attention of `queries` sequences of at most `positions` tokens. */
export const decodePartialValues = ({ heads, headDim }: HeadShape, queries: number, positions: number): number =>
  queries * heads * keySplits(positions) * (headDim + 4);

/** cache [rows[t]] = keys and values of token t of qkv [tokens, (heads + 2 kvHeads) headDim]. */
export function kvStore(
  cmd: Commands,
  profile: KernelProfile,
  shape: HeadShape,
  tokens: number,
  views: { qkv: View; rows: View; cache: View },
): void {
  const width = cacheWidth(shape);
  const offset = shape.heads * shape.headDim;
  cmd.dispatch(
    { name: 'kv store', source: kvStoreSource, constants: rowConstants(profile) },
    views,
    { tokens, width, ld: offset + width, offset },
    rowGroups(tokens),
    tokens * width,
  );
}

export interface DecodeAttentionViews {
  /** f32 [queries, (heads + 2 kvHeads) headDim], queries turned. */
  qkv: View;
  /** f32 [tokens of all sequences, cacheWidth]. */
  cache: View;
  /** Cache row and position of each query's own token, u32 [queries]; the tokens before it lie in the rows before. */
  rows: View;
  positions: View;
  /** Scratch of `decodePartialValues`. */
  partials: View;
}

/** out [queries, heads headDim]. `longest`: tokens of the longest sequence, the new one included. */
export function decodeAttention(
  cmd: Commands,
  profile: KernelProfile,
  shape: HeadShape,
  queries: number,
  longest: number,
  views: DecodeAttentionViews,
  out: View,
): void {
  const { heads, kvHeads, headDim } = shape;
  const splits = keySplits(longest);
  const threads = 16;
  const constants = { HEAD_DIM: headDim, SHARE: heads / kvHeads, KEYS };
  cmd.dispatch(
    profile.direct
      ? {
          name: 'decode attention DIRECT',
          source: attentionSource,
          flags: ['DIRECT'],
          constants: { ...constants, THREADS: threads },
        }
      : { name: 'decode attention', source: attentionSource, constants: { ...constants, ROW_THREADS: KEYS } },
    { ...views },
    { heads, kv_heads: kvHeads, ld: (heads + 2 * kvHeads) * headDim, scale: 1 / Math.sqrt(headDim), splits, queries },
    profile.direct ? [Math.ceil(splits / threads), heads, queries] : [splits, kvHeads, queries],
    4 * queries * longest * heads * headDim,
  );
  const count = (queries * heads * headDim) / 4;
  cmd.dispatch(
    { name: 'decode attention sum', source: attentionSumSource, constants: { HEAD_DIM: headDim } },
    { partials: views.partials, out },
    { count, splits },
    itemGroups(count),
    2 * count * splits,
  );
}

/** A row of `picks`: the column of the largest logit, and the two largest. */
export interface Pick {
  id: number;
  logit: number;
  runnerUp: number;
}

export const PICK_BYTES = 16;

/** ids [rows] and picks [firstPick + rows] from logits [rows, ld]. */
export function argmax(
  cmd: Commands,
  profile: KernelProfile,
  size: { rows: number; columns: number; ld: number; firstPick: number },
  views: { logits: View; ids: View; picks: View },
): void {
  const { rows, columns, ld, firstPick } = size;
  cmd.dispatch(
    { name: 'argmax', source: argmaxSource, constants: rowConstants(profile) },
    views,
    { columns, ld, first_pick: firstPick },
    [rows],
    2 * rows * columns,
  );
}

/** The picks in a readback. */
export function readPicks(bytes: ArrayBuffer): Pick[] {
  const words = new Uint32Array(bytes);
  const floats = new Float32Array(bytes);
  return Array.from({ length: bytes.byteLength / PICK_BYTES }, (_, i) => ({
    id: words[4 * i],
    logit: floats[4 * i + 1],
    runnerUp: floats[4 * i + 2],
  }));
}
