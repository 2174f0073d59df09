/** Which tiles of the large products are fastest on this device: measured once, each checked before it may win. */
import { Commands, type View } from '../gpu/commands';
import type { Gpu } from '../gpu/device';
import { Listing } from '../gpu/listing';
import { type KernelProfile, type MatmulTile, type ProductKind, type TileChoice, tileCandidates } from '../gpu/profile';
import { TIER_TOLERANCES } from '../gpu/tiers';
import { MatmulOps } from '../ops/matmul';
import type { Weight } from '../ops/weight';
import { randomMatrix } from './random-weights';

export const PRODUCT_KINDS: readonly ProductKind[] = ['forward float', 'backward float', 'forward NF4', 'backward NF4'];

export interface TileTime {
  tile: MatmulTile;
  /** Milliseconds of one product; null for a tile whose results are wrong, or that was not reached in time. */
  ms: number | null;
}

export interface TileRace {
  /** The fastest of each kind, where any was measured. */
  tiles: TileChoice;
  times: Partial<Record<ProductKind, TileTime[]>>;
  milliseconds: number;
}

export interface RaceOptions {
  /** Milliseconds after which nothing more is begun. */
  budget?: number;
  /** Outputs and inputs of the weight; tokens of the largest batch. */
  shape?: { rows: number; columns: number; tokens: number };
  onProgress?(done: number, total: number): void;
}

/** 34 GFLOP: hundreds of tiles of any size. A device that takes longer than SLOW_MS for it is asked for less. */
const SHAPE = { rows: 4096, columns: 2048, tokens: 2048 };
const SLOW_MS = 12;
/** Tokens of the product that is compared with the kernel without tiles. */
const CHECKED_TOKENS = 256;
const ROUNDS = 5;

/** A tile that is less than this much faster than the usual one is not worth a change between two visits. */
const MARGIN = 1.02;

function fastest(times: readonly TileTime[]): MatmulTile | null {
  let winner: TileTime | null = null;
  for (const entry of times) {
    if (entry.ms === null) continue;
    if (!winner || entry.ms * MARGIN < winner.ms!) winner = entry;
  }
  return winner?.tile ?? null;
}

/** For every product this tile and no other. */
const only = (profile: KernelProfile, tile: MatmulTile): KernelProfile => ({
  ...profile,
  large: tile,
  medium: tile,
  small: tile,
  tuned: undefined,
  tall: undefined,
  wide: undefined,
});

const DIRECT: MatmulTile = { bm: 16, bn: 16, bk: 16, tm: 4, tn: 4 };

/** One kind's weight and operands, and the product in question. */
class Lane {
  #cmd: Commands;
  readonly #kind: ProductKind;
  readonly #weight: Weight;
  readonly #from: View;
  readonly #to: View;

  constructor(cmd: Commands, kind: ProductKind, weight: Weight, from: View, to: View) {
    this.#cmd = cmd;
    this.#kind = kind;
    this.#weight = weight;
    this.#from = from;
    this.#to = to;
  }

  record(profile: KernelProfile, tokens: number): void {
    const ops = new MatmulOps(this.#cmd, profile);
    const { rows, columns } = this.#weight;
    const forward = this.#kind.startsWith('forward');
    const from = { view: this.#from, ld: forward ? columns : rows };
    const to = { view: this.#to, ld: forward ? rows : columns };
    if (forward) ops.forward(this.#weight, tokens, from, to);
    else ops.backward(this.#weight, tokens, from, to);
  }

  /** Compiles its kernel for each profile, all at once. Those that the device refuses are compiled again, and told, when used. */
  async compile(profiles: readonly KernelProfile[], tokens: number): Promise<void> {
    const cmd = this.#cmd;
    const listing = new Listing(cmd.device);
    this.#cmd = listing;
    for (const profile of profiles) this.record(profile, tokens);
    this.#cmd = cmd;
    await cmd.kernels.prepare([...listing.specs.values()]).catch(() => undefined);
  }

  async time(profile: KernelProfile, tokens: number, runs: number): Promise<number> {
    const began = performance.now();
    for (let i = 0; i < runs; i++) this.record(profile, tokens);
    await this.#cmd.finish();
    return (performance.now() - began) / runs;
  }

  async results(profile: KernelProfile, tokens: number): Promise<Float32Array> {
    this.record(profile, tokens);
    const { rows, columns } = this.#weight;
    const width = this.#kind.startsWith('forward') ? rows : columns;
    return new Float32Array(await this.#cmd.read(this.#to, tokens * width * 4));
  }
}

/** Largest difference over the largest value; not a number where either side is not. */
function difference(actual: Float32Array, expected: Float32Array): number {
  let [worst, largest] = [0, 0];
  for (let i = 0; i < actual.length; i++) {
    const off = Math.abs(actual[i] - expected[i]);
    if (!(off <= worst)) worst = off;
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return worst / largest;
}

/** Values between -0.5 and 0.5, alike at each call. */
function randomFloats(device: GPUDevice, count: number): GPUBuffer {
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

/**
 * Measures the candidates of `gpu`'s tier (src/gpu/profile.ts) against each other. What the device refuses meanwhile is not
 * counted among its faults, and its tile does not win.
 * @throws GpuError `out-of-memory` when there is no room for about 100 MB
 */
export async function raceTiles(gpu: Gpu, options: RaceOptions = {}): Promise<TileRace> {
  const { budget = 1500, shape = SHAPE, onProgress } = options;
  const { device, profile } = gpu;
  const began = performance.now();
  const race: TileRace = { tiles: {}, times: {}, milliseconds: 0 };
  const cmd = new Commands(device);
  const widest = shape.tokens * Math.max(shape.rows, shape.columns);
  const [from, to] = [randomFloats(device, widest), randomFloats(device, widest)];
  const total = PRODUCT_KINDS.reduce((sum, kind) => sum + tileCandidates(device, kind).length, 0);
  let done = 0;
  try {
    for (const [i, kind] of PRODUCT_KINDS.entries()) {
      const { weight, memory } = await randomMatrix(
        device,
        shape.rows,
        shape.columns,
        kind.endsWith('NF4') ? 'NF4' : 'BF16',
      );
      const lane = new Lane(cmd, kind, weight, { buffer: from }, { buffer: to });
      const deadline = began + (budget * (i + 1)) / PRODUCT_KINDS.length;
      const candidates = tileCandidates(device, kind);
      const times = await raceKind(lane, profile, candidates, shape.tokens, deadline, device, () =>
        onProgress?.(++done, total),
      );
      memory.destroy();
      cmd.forgetBuffers();
      race.times[kind] = times;
      const winner = fastest(times);
      if (winner) race.tiles[kind] = winner;
    }
  } finally {
    await cmd.finish().catch(() => undefined);
    from.destroy();
    to.destroy();
    cmd.destroy();
  }
  race.milliseconds = performance.now() - began;
  return race;
}

async function raceKind(
  lane: Lane,
  profile: KernelProfile,
  candidates: readonly MatmulTile[],
  mostTokens: number,
  deadline: number,
  device: GPUDevice,
  onDone: () => void,
): Promise<TileTime[]> {
  const checkedTokens = Math.min(CHECKED_TOKENS, mostTokens);
  const allowed = profile.tier === 'f32' ? 1e-5 : TIER_TOLERANCES[profile.tier].gradients;
  const direct = { ...only(profile, DIRECT), direct: true };
  const reachable = performance.now() < deadline ? candidates : candidates.slice(0, 1);
  await lane.compile([direct, ...reachable.map((tile) => only(profile, tile))], checkedTokens);
  const expected = await lane.results(direct, checkedTokens);
  let tokens = mostTokens;
  const best = candidates.map(() => Number.POSITIVE_INFINITY);
  const right: number[] = [];
  for (const [i, tile] of candidates.entries()) {
    onDone();
    // The first is what is used anyway: without another there is nothing to choose.
    if (i > 0 && performance.now() > deadline) break;
    const own = only(profile, tile);
    device.pushErrorScope('validation');
    device.pushErrorScope('internal');
    const off = difference(await lane.results(own, checkedTokens), expected);
    const refused = [await device.popErrorScope(), await device.popErrorScope()];
    if (!(off < allowed) || refused.some((error) => error !== null)) continue;
    right.push(i);
    let ms = await lane.time(own, tokens, 1);
    while (ms > SLOW_MS && tokens > checkedTokens) {
      tokens = Math.max(checkedTokens, tokens / 2);
      ms = await lane.time(own, tokens, 1);
    }
  }
  const quick = right.length > 0 ? await lane.time(only(profile, candidates[right[0]]), tokens, 1) : 0;
  const runs = Math.max(1, Math.min(8, Math.round(4 / Math.max(quick, 0.05))));
  // In turn, so that the device's clock meets all of them alike; the least of a few is the least disturbed.
  for (let round = 0; round < ROUNDS; round++) {
    for (const i of right) best[i] = Math.min(best[i], await lane.time(only(profile, candidates[i]), tokens, runs));
    if (performance.now() > deadline) break;
  }
  return candidates.map((tile, i) => ({ tile, ms: Number.isFinite(best[i]) ? best[i] : null }));
}
