/** Operands of products as f16: rows of activations or gradients with a factor for every 16, and frozen weights. */
import rowsSource from '../../shaders/half_rows.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import { KernelFamily, oncePer } from '../gpu/kernels';
import type { Memory } from '../gpu/memory';
import type { KernelProfile } from '../gpu/profile';
import { ExpandedWeight, type Expansion, expandedValues } from './expanded-weight';
import type { Rows } from './product';

/** Room for one operand of each kind: whoever asks next overwrites it. */
export interface HalfScratch {
  /** f16 [rows, columns]. */
  x: GPUBuffer;
  /** f32: `factorValues` of them. */
  factors: GPUBuffer;
  /** f16 [rows, columns] of a weight. */
  w: GPUBuffer;
}

/** Columns whose largest value one workgroup of ROW_THREADS finds; a thread has eight vec4. */
const rangeOf = (profile: Pick<KernelProfile, 'rowThreads'>): { threads: number; range: number } => ({
  threads: 2 * profile.rowThreads,
  range: 4 * profile.rowThreads,
});
const ROW_ITEMS = 8;

/** A thread that holds more does not have the registers. */
const MOST_ITEMS = 32;

const rowsFamilies = oncePer((profile: KernelProfile) => {
  const { threads, range } = rangeOf(profile);
  const family = (columns: number, items: number) =>
    new KernelFamily('half rows', rowsSource, { ROW_THREADS: threads, RANGE: columns, ITEMS: items });
  const whole = new Map<number, KernelFamily>();
  return {
    ranges: family(range, ROW_ITEMS),
    /** A kernel whose workgroups hold 16 rows of `columns`; undefined where those are too many, or not the same for all threads. */
    whole(columns: number): KernelFamily | undefined {
      const items = (4 * columns) / threads;
      if (items > MOST_ITEMS || !Number.isInteger(items)) return undefined;
      if (!whole.has(columns)) whole.set(columns, family(columns, items));
      return whole.get(columns);
    },
  };
});

/** Values of `HalfScratch.factors` for m rows of k values: a factor for every 16, and before that what they are found from. */
export function factorValues(profile: Pick<KernelProfile, 'rowThreads'>, m: number, k: number): number {
  const blocks = Math.ceil(m / 16);
  return blocks * (1 + Math.ceil(k / rangeOf(profile).range));
}

const halfLayout = ({ matrix }: Pick<KernelProfile, 'matrix'>): Expansion => (matrix ? 'f16 tiles' : 'f16');

/** Values that a matrix [rows, columns] takes as f16: whole tiles of 128 rows on matrix units. */
export const halfValues = (profile: Pick<KernelProfile, 'matrix'>, rows: number, columns: number): number =>
  expandedValues(halfLayout(profile), rows, columns);

/** Rows in scratch: x[m, k] times factors[m / 16] is what they were made from, rounded to 11 bits. */
export interface HalfRows {
  x: View;
  factors: View;
  m: number;
  k: number;
}

/** The scratch that a memory holds; undefined where it was not planned. */
export const halfScratch = (memory: Pick<Memory, 'get' | 'has'>): HalfScratch | undefined =>
  memory.has('half.x')
    ? { x: memory.get('half.x'), factors: memory.get('half.factors'), w: memory.get('half.w') }
    : undefined;

export class HalfOperands {
  readonly #cmd: Commands;
  readonly #profile: KernelProfile;
  readonly #scratch: HalfScratch;
  readonly #views: { x: View; factors: View };
  /** The weights. */
  readonly w: ExpandedWeight;
  #last: HalfRows | undefined;

  constructor(cmd: Commands, profile: KernelProfile, scratch: HalfScratch) {
    this.#cmd = cmd;
    this.#profile = profile;
    this.#scratch = scratch;
    this.#views = { x: { buffer: scratch.x }, factors: { buffer: scratch.factors } };
    this.w = new ExpandedWeight(cmd, halfLayout(profile), scratch.w);
  }

  /** The rows that are in scratch. */
  get last(): HalfRows | undefined {
    return this.#last;
  }

  /** Whether x [m, k] and `rows` rows of a weight have room. */
  fits(m: number, k: number, rows = 0, columns = 0): boolean {
    const { x, factors } = this.#scratch;
    return (
      2 * halfValues(this.#profile, m, k) <= x.size &&
      4 * factorValues(this.#profile, m, k) <= factors.size &&
      (rows === 0 || rows <= this.w.rows(columns))
    );
  }

  /** x [m, k] into scratch. `k`, `x.ld` and `x.offset` are multiples of 4, on matrix units `k` of 32. */
  rows(m: number, k: number, x: Rows): HalfRows {
    const { x: view, factors } = this.#views;
    const { range } = rangeOf(this.#profile);
    const blocks = Math.ceil(m / 16);
    const params = { rows: m, columns: k, ld: x.ld, offset: x.offset ?? 0, tops_at: blocks };
    const layout = this.#profile.matrix ? 'TILES' : '';
    const record = (kernels: KernelFamily, flags: string, columns: number) =>
      this.#cmd.dispatch(
        kernels.with(flags),
        { x: x.view, half: view, factors },
        params,
        [Math.ceil(k / columns), blocks],
        2 * m * k,
      );
    const { ranges, whole } = rowsFamilies(this.#profile);
    const one = whole(k);
    if (one) record(one, `SCANS ${layout}`, k);
    else {
      record(ranges, 'TOPS SCANS', range);
      record(ranges, layout, range);
    }
    this.#last = { x: view, factors, m, k };
    return this.#last;
  }
}
