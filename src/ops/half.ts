/** Operands of products as f16: rows of activations or gradients with a factor for every 16, and frozen weights. */
import rowsSource from '../../shaders/half_rows.wgsl?raw';
import weightSource from '../../shaders/half_weight.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { Memory } from '../gpu/memory';
import type { KernelProfile } from '../gpu/profile';
import type { Rows } from './product';
import { rowGroups } from './rows';
import { nestedParams, type Weight, type WeightPart, weightBindings, weightFlag } from './weight';

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

/** Of half_weight.wgsl; a thread has as many items of eight values. */
const WEIGHT_THREADS = 128;
const WEIGHT_ITEMS = 4;

/** The coarsest that WebGPU lets a device ask of a binding's offset. */
const BINDING_ALIGNMENT = 256;

/** Values of `HalfScratch.factors` for m rows of k values: a factor for every 16, and before that what they are found from. */
export function factorValues(profile: Pick<KernelProfile, 'rowThreads'>, m: number, k: number): number {
  const blocks = Math.ceil(m / 16);
  return blocks * (1 + Math.ceil(k / rangeOf(profile).range));
}

/** Values that a matrix [rows, columns] takes as f16: whole tiles of 128 rows on matrix units. */
export function halfValues({ matrix }: Pick<KernelProfile, 'matrix'>, rows: number, columns: number): number {
  return (matrix ? Math.ceil(rows / 128) * 128 : rows) * columns;
}

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
  /** What `w` holds. Weights are frozen, so it stays true until another comes in. */
  #weight: { data: GPUBuffer; at: number; values: number } | null = null;
  #last: HalfRows | undefined;

  constructor(cmd: Commands, profile: KernelProfile, scratch: HalfScratch) {
    this.#cmd = cmd;
    this.#profile = profile;
    this.#scratch = scratch;
  }

  /** The rows that are in scratch. */
  get last(): HalfRows | undefined {
    return this.#last;
  }

  /** Forgets which weight is in scratch, for benchmarks: the next product converts its own again. */
  forget(): void {
    this.#weight = null;
  }

  /** Whether x [m, k] and `rows` rows of a weight have room. */
  fits(m: number, k: number, rows = 0, columns = 0): boolean {
    const { x, factors, w } = this.#scratch;
    return (
      2 * halfValues(this.#profile, m, k) <= x.size &&
      4 * factorValues(this.#profile, m, k) <= factors.size &&
      2 * halfValues(this.#profile, rows, columns) <= w.size
    );
  }

  /** How matrices lie in scratch. */
  get #layout(): string[] {
    return this.#profile.matrix ? ['TILES'] : [];
  }

  /** x [m, k] into scratch. `k`, `x.ld` and `x.offset` are multiples of 4, on matrix units `k` of 32. */
  rows(m: number, k: number, x: Rows): HalfRows {
    const view = { buffer: this.#scratch.x };
    const factors = { buffer: this.#scratch.factors };
    const { threads, range } = rangeOf(this.#profile);
    const constants = { ROW_THREADS: threads, RANGE: range, ITEMS: ROW_ITEMS };
    const blocks = Math.ceil(m / 16);
    const params = { rows: m, columns: k, ld: x.ld, offset: x.offset ?? 0, tops_at: blocks };
    for (const flags of [['TOPS'], this.#layout]) {
      this.#cmd.dispatch(
        { name: `half rows ${flags}`, source: rowsSource, flags, constants },
        { x: x.view, half: view, factors },
        params,
        [Math.ceil(k / range), blocks],
        2 * m * k,
      );
    }
    this.#last = { x: view, factors, m, k };
    return this.#last;
  }

  /** Whole rows of a part from value `at` on into scratch, `values` in all, a multiple of 8. */
  weight(weight: Weight, part: WeightPart, at: number, values: number): View {
    const { buffer } = part.data;
    const held = this.#weight;
    if (!(held && held.data === buffer && held.at === at && held.values === values)) {
      this.#weight = { data: buffer, at, values };
      this.#convert(weight, part, at, values, 0);
    }
    return { buffer: this.#scratch.w };
  }

  /** Whether whole weights can lie in scratch one below the other, each from a whole tile on. */
  stacks(weights: readonly Weight[]): boolean {
    const [{ columns }] = weights;
    let above = 0;
    return weights.every(({ parts, rows, columns: own, trainable }) => {
      const begins = !this.#profile.matrix || above % 128 === 0;
      const aligned = (2 * above * columns) % BINDING_ALIGNMENT === 0;
      above += rows;
      return begins && aligned && parts.length === 1 && own === columns && !trainable;
    });
  }

  /** Such weights into scratch. */
  stacked(weights: readonly Weight[]): View {
    this.#weight = null;
    let above = 0;
    for (const weight of weights) {
      const { rows, columns, parts } = weight;
      this.#convert(weight, parts[0], parts[0].offset, rows * columns, above);
      above += rows;
    }
    return { buffer: this.#scratch.w };
  }

  /** @param above rows that scratch holds before these */
  #convert(weight: Weight, part: WeightPart, at: number, values: number, above: number): void {
    const view = { buffer: this.#scratch.w, offset: 2 * above * weight.columns };
    this.#cmd.dispatch(
      {
        name: `half weight ${weight.format}`,
        source: weightSource,
        flags: [weightFlag(weight), ...this.#layout],
        constants: { ITEMS: WEIGHT_ITEMS },
      },
      { ...weightBindings(weight, part), half: view },
      { items: values / 8, w_offset: at, columns: weight.columns, ...nestedParams(weight, part) },
      rowGroups(Math.ceil(values / 8 / (WEIGHT_THREADS * WEIGHT_ITEMS))),
      2 * values,
    );
  }
}
