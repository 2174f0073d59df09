/** One kind of product in the race of tiles: its operands, and recording, compiling and timing it. */
import type { Commands, View } from '../gpu/commands';
import { Listing } from '../gpu/listing';
import type { KernelProfile, MatmulTile, ProductKind } from '../gpu/profile';
import { factorValues, HalfOperands, type HalfScratch, halfValues } from '../ops/half';
import { MatmulOps } from '../ops/matmul';
import type { Weight } from '../ops/weight';

/** Outputs and inputs of the weight; tokens of the largest batch. */
export interface Shape {
  rows: number;
  columns: number;
  tokens: number;
}

/** For every product this tile and no other. */
export const only = (profile: KernelProfile, tile: MatmulTile): KernelProfile => ({
  ...profile,
  large: tile,
  between: undefined,
  medium: tile,
  small: tile,
  tuned: undefined,
  tall: undefined,
  wide: undefined,
  ...(profile.half && { half: [tile] }),
});

export const DIRECT: MatmulTile = { bm: 16, bn: 16, bk: 16, tm: 4, tn: 4 };

/** One kind's weight and operands, and the product in question. */
export class Lane {
  #cmd: Commands;
  readonly #kind: ProductKind;
  readonly #weight: Weight;
  readonly #from: View;
  readonly #to: View;
  readonly #half: HalfScratch | undefined;

  /** @param half room for both operands as f16, for a kind of such products */
  constructor(cmd: Commands, kind: ProductKind, weight: Weight, from: View, to: View, half?: HalfScratch) {
    this.#cmd = cmd;
    this.#kind = kind;
    this.#weight = weight;
    this.#from = from;
    this.#to = to;
    this.#half = half;
  }

  record(profile: KernelProfile, tokens: number): void {
    // Without what was made before: every run begins with making its operands f16.
    const half = profile.half && this.#half && new HalfOperands(this.#cmd, profile, this.#half);
    const ops = new MatmulOps(this.#cmd, profile, { half });
    const { rows, columns } = this.#weight;
    const forward = this.#kind.startsWith('forward');
    const from = { view: this.#from, ld: forward ? columns : rows };
    const to = { view: this.#to, ld: forward ? rows : columns };
    if (forward) ops.forward(this.#weight, tokens, from, to);
    else ops.backward(this.#weight, tokens, from, to);
  }

  /** Compiles its kernel for a profile. */
  async compile(profile: KernelProfile, tokens: number): Promise<void> {
    const cmd = this.#cmd;
    const listing = new Listing(cmd.device);
    this.#cmd = listing;
    this.record(profile, tokens);
    this.#cmd = cmd;
    await cmd.kernels.prepare([...listing.specs.values()]);
  }

  async time(profile: KernelProfile, tokens: number, runs: number): Promise<number> {
    const began = performance.now();
    for (let i = 0; i < runs; i++) this.record(profile, tokens);
    await this.#cmd.finish();
    return (performance.now() - began) / runs;
  }

  /** Milliseconds until hardly any work is done and heard of. */
  async wait(): Promise<number> {
    const began = performance.now();
    this.#cmd.clear({ ...this.#to, size: 4 });
    await this.#cmd.finish();
    return performance.now() - began;
  }

  async results(profile: KernelProfile, tokens: number): Promise<Float32Array> {
    // Or a kernel that writes nothing would be as right as the one before it.
    this.#cmd.clear(this.#to);
    this.record(profile, tokens);
    const { rows, columns } = this.#weight;
    const width = this.#kind.startsWith('forward') ? rows : columns;
    return new Float32Array(await this.#cmd.read(this.#to, tokens * width * 4));
  }
}

/** Values between -0.5 and 0.5, alike at each call. */
export function randomFloats(device: GPUDevice, count: number): GPUBuffer {
  const buffer = device.createBuffer({ label: 'tile race', size: count * 4, usage: 0x80 | 0x04 | 0x08 });
  const values = new Float32Array(2 ** 18);
  let state = 1;
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = state / 2 ** 32 - 0.5;
  }
  for (let at = 0; at < buffer.size; at += values.byteLength) {
    device.queue.writeBuffer(buffer, at, values, 0, Math.min(values.length, (buffer.size - at) / 4));
  }
  return buffer;
}

/** Room for both operands of a product as f16. */
export function halfRoom(device: GPUDevice, profile: KernelProfile, shape: Shape): HalfScratch {
  const { rows, columns, tokens } = shape;
  const widest = Math.max(rows, columns);
  const room = (size: number) => device.createBuffer({ label: 'tile race', size, usage: 0x80 | 0x04 | 0x08 });
  return {
    x: room(2 * halfValues(profile, tokens, widest)),
    factors: room(4 * factorValues(profile, tokens, widest)),
    w: room(2 * halfValues(profile, rows, columns)),
  };
}
