/** Frozen weights in scratch as f16 or f32, one at a time, for products that are faster when they need not decode. */
import source from '../../shaders/expand_weight.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import { KernelFamily } from '../gpu/kernels';
import type { Product } from './product';
import { rowGroups } from './rows';
import { nestedParams, type Weight, type WeightPart, weightFlag } from './weight';

/** Of expand_weight.wgsl; a thread makes as many items of 16 bytes. */
const THREADS = 128;
const ITEMS = 4;

const KERNELS = new KernelFamily('expand weight', source, { ITEMS });

/** The coarsest that WebGPU lets a device ask of a binding's offset. */
const BINDING_ALIGNMENT = 256;

/** What a weight becomes: f16 or f32, row-major or in the tiles of 128 rows and 32 columns that matrix units read. */
export type Expansion = 'f32' | 'f16' | 'f16 tiles';

/** Values that a matrix [rows, columns] takes: tiles are whole. */
export const expandedValues = (to: Expansion, rows: number, columns: number): number =>
  (to === 'f16 tiles' ? Math.ceil(rows / 128) * 128 : rows) * columns;

/** What a product with `rows` rows of a weight reads instead, once they are f32 in scratch. */
export function expandedPart(data: View, rows: number, columns: number): Pick<Product, 'weight' | 'part' | 'wOffset'> {
  const part = { firstRow: 0, rows, data, offset: 0 };
  return { weight: { name: 'expanded', rows, columns, format: 'F32', parts: [part] }, part, wOffset: 0 };
}

export class ExpandedWeight {
  readonly #cmd: Commands;
  readonly #to: Expansion;
  readonly #buffer: GPUBuffer;
  /** What the buffer holds. Weights are frozen, so it stays true until another comes in. */
  #held: { data: GPUBuffer; at: number; values: number } | null = null;

  constructor(cmd: Commands, to: Expansion, buffer: GPUBuffer) {
    this.#cmd = cmd;
    this.#to = to;
    this.#buffer = buffer;
  }

  /** Forgets which weight it holds, for benchmarks: the next product expands its own again. */
  forget(): void {
    this.#held = null;
  }

  /** Rows of `columns` values that there is room for. */
  rows(columns: number): number {
    const rows = Math.floor(this.#buffer.size / (this.#bytes * columns));
    return this.#to === 'f16 tiles' ? rows - (rows % 128) : rows;
  }

  /** Whole rows of a part from value `at` on, `values` in all, a multiple of 8. */
  take(weight: Weight, part: WeightPart, at: number, values: number): View {
    const { buffer } = part.data;
    const held = this.#held;
    if (!(held && held.data === buffer && held.at === at && held.values === values)) {
      this.#held = { data: buffer, at, values };
      this.#expand(weight, part, at, values, 0);
    }
    return { buffer: this.#buffer };
  }

  /** Whether whole weights can lie here one below the other, in f16 each from a whole tile of any kernel on. */
  stacks(weights: readonly Weight[]): boolean {
    const [{ columns }] = weights;
    let above = 0;
    const suited = weights.every(({ parts, rows, columns: own, trainable }) => {
      const begins = this.#to === 'f32' || above % 128 === 0;
      const aligned = (this.#bytes * above * columns) % BINDING_ALIGNMENT === 0;
      above += rows;
      return begins && aligned && parts.length === 1 && own === columns && !trainable;
    });
    return suited && above <= this.rows(columns);
  }

  /** Such weights. */
  takeStacked(weights: readonly Weight[]): View {
    this.#held = null;
    let above = 0;
    for (const weight of weights) {
      const { rows, columns, parts } = weight;
      this.#expand(weight, parts[0], parts[0].offset, rows * columns, above);
      above += rows;
    }
    return { buffer: this.#buffer };
  }

  get #bytes(): number {
    return this.#to === 'f32' ? 4 : 2;
  }

  /** @param above rows that lie before these */
  #expand(weight: Weight, part: WeightPart, at: number, values: number, above: number): void {
    const to = { f32: '', f16: ' TO_F16', 'f16 tiles': ' TO_F16 TILES' }[this.#to];
    const items = (values * this.#bytes) / 16;
    const view = { buffer: this.#buffer, offset: this.#bytes * above * weight.columns };
    this.#cmd.dispatch(
      KERNELS.with(weightFlag(weight) + to),
      { w: part.data, scales: weight.scales, expanded: view },
      { items, w_offset: at, columns: weight.columns, ...nestedParams(weight, part) },
      rowGroups(Math.ceil(items / (THREADS * ITEMS))),
      2 * values,
    );
  }
}
