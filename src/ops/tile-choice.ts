/**
 * Which tile makes a product of f32 arithmetic soonest, and in how many parts of K: the least time by a small model of a large
 * GPU, whose numbers were measured on an NVIDIA H100 (docs/performance.md). A smaller GPU is full with whatever fills that one.
 */
import type { KernelProfile, MatmulTile } from '../gpu/profile';
import type { WeightFormat } from './weight';

/** Values of the buffer for partial results. */
export const PARTIAL_VALUES = 2 ** 22;

/** Results of so few columns or rows have tiles of their own. */
export const NARROW = 48;

/** Multiprocessors. */
const PROCESSORS = 132;
/** Microseconds that one takes for a value of k of one result, but for what loads add. */
const VALUE_US = 2.15e-6;
/** What a row or a column of a tile adds to that, which is brought from memory for each value of k. */
const EDGE = 32;
/** Microseconds from one value of k to the next in an otherwise idle processor; with NF4 each result of a thread adds to them. */
const LEAST_US = 0.04;
const NF4_LEAST_US = 0.03;
const NF4_RESULT_US = 6e-4;
/** Results of f16 products that a processor has registers for. */
const HALF_RESIDENT = 128 * 128;
/** Adding up parts: a dispatch, and to write and read each value once more. */
const SUM_US = 6;
const SUM_VALUE_US = 4e-6;
/** Values of k by which filling and emptying a workgroup's pipeline takes longer. */
const PIPELINE = 64;
const SPLITS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];

export interface ProductSize {
  m: number;
  n: number;
  k: number;
  format: WeightFormat;
  direction: 'forward' | 'backward';
  /** Whether both operands are f16: a pair of values is multiplied at once. */
  half?: boolean;
}

export interface ChosenTile {
  tile: MatmulTile;
  /** Into how many parts K is split. */
  splits: number;
}

/** K in parts of whole tiles, eight at a time: how many parts there are, and tiles in each. */
export function splitParts(bk: number, k: number, splits: number): { parts: number; tiles: number } {
  const all = Math.ceil(k / bk);
  if (splits <= 1) return { parts: 1, tiles: all };
  const tiles = Math.ceil(Math.ceil(k / splits / bk) / 8) * 8;
  return { parts: Math.ceil(all / tiles), tiles };
}

/** Estimated microseconds of a product. */
export function productTime(tile: MatmulTile, { m, n, k, format, half }: ProductSize, splits: number): number {
  const { bm, bn, bk, tm, tn } = tile;
  const { parts, tiles } = splitParts(bk, k, splits);
  const rounds = (Math.ceil(m / bm) * Math.ceil(n / bn) * parts) / PROCESSORS;
  // For tm x tn products a thread reads tm + tn values of the tile, and a workgroup bm + bn of memory for bm x bn.
  const group = VALUE_US * bm * bn * (1 + 4 / tm + 4 / tn + EDGE / bm + EDGE / bn);
  const least = format === 'NF4' ? NF4_LEAST_US + NF4_RESULT_US * tm * tn : LEAST_US;
  const step = half ? halfStep(group / 2, rounds, HALF_RESIDENT / (bm * bn)) : floatStep(group, rounds, least);
  const sum = parts > 1 ? SUM_US + SUM_VALUE_US * parts * m * n : 0;
  // Columns that are not whole blocks of NF4 are decoded value by value.
  const decode = format === 'NF4' && bn % 64 !== 0 ? 1.5 : 1;
  return decode * step * (Math.min(k, tiles * bk) + PIPELINE) + sum;
}

/** From one value of k to the next: few workgroups wait for memory and each other, many hide that. */
function floatStep(group: number, rounds: number, least: number): number {
  // What is left over from whole rounds counts in the first ones; later on workgroups no longer go in step.
  return Math.hypot(group * (rounds < 4 ? Math.ceil(rounds) : rounds), least);
}

/** The same where `resident` workgroups are on a processor at once, and end at once. */
function halfStep(group: number, rounds: number, resident: number): number {
  const waves = rounds / resident;
  if (waves <= 1) return Math.hypot(group * Math.ceil(rounds), LEAST_US);
  return Math.hypot(group * resident, LEAST_US) * (waves < 4 ? Math.ceil(waves) : waves);
}

/** A tile and those of some others that are smaller: with the fastest of a full GPU only these can be sooner. */
const withSmaller = (tile: MatmulTile, others: readonly MatmulTile[]): MatmulTile[] => [
  tile,
  ...others.filter(({ bm, bn }) => bm * bn < tile.bm * tile.bn),
];

/** @param maySplit whether there is room for partial results, and the product allows them */
export function chooseTile(profile: KernelProfile, size: ProductSize, maySplit: boolean): ChosenTile {
  const { m, n, format, direction } = size;
  const { large, between = large, medium = large, small, tall, wide } = profile;
  const tuned = profile.tuned?.[`${direction} ${format === 'NF4' ? 'NF4' : 'float'}`] ?? large;
  let tiles = withSmaller(tuned, [large, between, medium, small]);
  // Narrow results have tiles of their own.
  if (tall && n <= NARROW && m >= tall.bm) tiles = [tall];
  else if (wide && m <= NARROW && n >= wide.bn) tiles = [wide];
  return soonest(tiles, size, maySplit);
}

/** The same for operands of f16. */
export function chooseHalfTile(
  half: readonly MatmulTile[],
  { tuned }: Pick<KernelProfile, 'tuned'>,
  size: ProductSize,
  maySplit: boolean,
): ChosenTile {
  const tiles = withSmaller(tuned?.[`${size.direction} half`] ?? half[0], half);
  return soonest(tiles, { ...size, half: true }, maySplit);
}

/** The tile among these, and the parts of K, that make a product soonest. */
function soonest(tiles: readonly MatmulTile[], { m, n, k, ...kind }: ProductSize, maySplit: boolean): ChosenTile {
  const width = Math.ceil(n / 4) * 4;
  let best: ChosenTile = { tile: tiles[0], splits: 1 };
  let least = Number.POSITIVE_INFINITY;
  for (const tile of tiles) {
    for (const splits of SPLITS) {
      if (
        splits > 1 &&
        (!maySplit || k / splits < 128 || splitParts(tile.bk, k, splits).parts * m * width > PARTIAL_VALUES)
      )
        break;
      const time = productTime(tile, { m, n, k, ...kind }, splits);
      if (time >= least) continue;
      least = time;
      best = { tile, splits };
    }
  }
  return best;
}

/** Workgroups that fill a large GPU. */
const ENOUGH_GROUPS = 256;

/** Into how many parts K is split, each of at least 128 values, so that tiles of some other kernel fill a GPU. */
export function splitCount(tile: Pick<MatmulTile, 'bm' | 'bn'>, m: number, n: number, k: number): number {
  const groups = Math.ceil(m / tile.bm) * Math.ceil(n / tile.bn);
  const room = Math.floor(PARTIAL_VALUES / (m * Math.ceil(n / 4) * 4));
  return Math.max(1, Math.min(Math.ceil(ENOUGH_GROUPS / groups), room, Math.floor(k / 128)));
}
