/** Operands of products as f16: rows of activations or gradients with a factor for every 16, and frozen weights. */
import rowsSource from '../../shaders/half_rows.wgsl?raw';
import weightSource from '../../shaders/half_weight.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { Memory } from '../gpu/memory';
import type { KernelProfile } from '../gpu/profile';
import type { Rows } from './matmul';
import { itemGroups, rowGroups } from './rows';
import { nestedParams, type Weight, type WeightPart, weightBindings, weightFlag } from './weight';

/** Room for one operand of each kind: whoever asks next overwrites it. */
export interface HalfScratch {
  /** f16 [rows, columns]. */
  x: GPUBuffer;
  /** f32 [rows / 16]. */
  factors: GPUBuffer;
  /** f16 [rows, columns] of a weight. */
  w: GPUBuffer;
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

  /** Whether rows and weight of a product of these sizes (values) have room. */
  fits(m: number, k: number, weightValues: number): boolean {
    const { x, factors, w } = this.#scratch;
    return m * k * 2 <= x.size && m / 4 <= factors.size && weightValues * 2 <= w.size;
  }

  /** x [m, k] into scratch. `k`, `x.ld` and `x.offset` are multiples of 4. */
  rows(m: number, k: number, x: Rows): HalfRows {
    const view = { buffer: this.#scratch.x };
    const factors = { buffer: this.#scratch.factors };
    this.#cmd.dispatch(
      { name: 'half rows', source: rowsSource, constants: { ROW_THREADS: 2 * this.#profile.rowThreads } },
      { x: x.view, half: view, factors },
      { rows: m, columns: k, ld: x.ld, offset: x.offset ?? 0 },
      rowGroups(Math.ceil(m / 16)),
      4 * m * k,
    );
    this.#last = { x: view, factors, m, k };
    return this.#last;
  }

  /** `values` neighbouring values of a part from `at` on, a multiple of 8, into scratch. */
  weight(weight: Weight, part: WeightPart, at: number, values: number): View {
    const { buffer } = part.data;
    const view = { buffer: this.#scratch.w };
    const held = this.#weight;
    if (held && held.data === buffer && held.at === at && held.values === values) return view;
    this.#weight = { data: buffer, at, values };
    this.#cmd.dispatch(
      { name: `half weight ${weight.format}`, source: weightSource, flags: [weightFlag(weight)] },
      { ...weightBindings(weight, part), half: view },
      { items: values / 8, w_offset: at, ...nestedParams(weight, part) },
      itemGroups(values / 8),
      2 * values,
    );
    return view;
  }
}
