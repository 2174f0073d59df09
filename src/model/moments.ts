/**
 * States of 8-bit AdamW, laid out as bitsandbytes does: each trainable tensor by itself, in blocks of 256 consecutive
 * elements with one absmax for m and one for v. The adapter's tensors lie in slabs, with padding between them, so a table
 * says for every block which values of the slab it covers and where its states are.
 *
 * A block's states (words of 4 bytes): absmax of m, absmax of v, the codes of m, the codes of v, four to a word.
 * Tensors of fewer than 4,096 elements keep f32 states, as there: all m of the block, then all v.
 */
import { type LoraLayout, type LoraTensor, loraTensors } from './lora';

export const MOMENT_BLOCK = 256;
/** Tensors with fewer elements keep f32 states. */
export const MIN_8BIT_SIZE = 4096;

/** Words of one entry of the table: offset of the tensor, first element, count and flags, offset of the states. */
export const BLOCK_WORDS = 4;
/** Flags beside the count: rows lie `paddedRank` values apart; states are f32. */
const STRIDED = 1 << 16;
const FULL = 1 << 17;

export interface MomentBlocks {
  blocks: number;
  table: Uint32Array<ArrayBuffer>;
  /** Words of all states of the slab. */
  stateWords: number;
}

/** Where the states of one tensor lie in its slab's states, in words. */
export interface MomentRange {
  tensor: LoraTensor;
  begin: number;
  end: number;
}

/** Elements of each block of a tensor, whether its states are f32, and the words that the states take. */
function blocksOf({ shape }: LoraTensor): { full: boolean; counts: number[]; words: (count: number) => number } {
  const size = shape.reduce((a, b) => a * b, 1);
  const full = size < MIN_8BIT_SIZE;
  const counts: number[] = [];
  for (let first = 0; first < size; first += MOMENT_BLOCK) counts.push(Math.min(MOMENT_BLOCK, size - first));
  return { full, counts, words: (count) => (full ? 2 * count : 2 + 2 * Math.ceil(count / 4)) };
}

/** Where each tensor's 8-bit states are, in the order of {@link loraTensors}. */
export function momentRanges(layout: LoraLayout): MomentRange[] {
  const used = layout.slabs.map(() => 0);
  return loraTensors(layout).map((tensor) => {
    const { counts, words } = blocksOf(tensor);
    const begin = used[tensor.slab];
    used[tensor.slab] += counts.reduce((sum, count) => sum + words(count), 0);
    return { tensor, begin, end: used[tensor.slab] };
  });
}

/** The table of each slab (shaders/adamw8bit.wgsl). */
export function momentBlocks(layout: LoraLayout): MomentBlocks[] {
  const entries = layout.slabs.map((): number[] => []);
  const stateWords = layout.slabs.map(() => 0);
  for (const tensor of loraTensors(layout)) {
    const { slab, offset, columns, stride } = tensor;
    const { full, counts, words } = blocksOf(tensor);
    const flags = (stride === columns ? 0 : STRIDED) | (full ? FULL : 0);
    counts.forEach((count, i) => {
      entries[slab].push(offset, i * MOMENT_BLOCK, count | flags, stateWords[slab]);
      stateWords[slab] += words(count);
    });
  }
  return entries.map((words, i) => ({
    blocks: words.length / BLOCK_WORDS,
    table: Uint32Array.from(words),
    stateWords: stateWords[i],
  }));
}
