/** Which tiles of the large products are fastest on this device: measured once, each checked before it may win. */
import { Commands, type View } from '../gpu/commands';
import type { Gpu } from '../gpu/device';
import { Listing } from '../gpu/listing';
import type { Memory } from '../gpu/memory';
import { type KernelProfile, type MatmulTile, type ProductKind, type TileChoice, tileCandidates } from '../gpu/profile';
import { TIER_TOLERANCES, type Tier } from '../gpu/tiers';
import { MatmulOps } from '../ops/matmul';
import type { Weight } from '../ops/weight';
import { randomMatrix } from './random-weights';

export const PRODUCT_KINDS: readonly ProductKind[] = ['forward float', 'backward float', 'forward NF4', 'backward NF4'];

export interface TileTime {
  tile: MatmulTile;
  /** Milliseconds of one product; null for a tile whose results are wrong, or that was not ready or not reached in time. */
  ms: number | null;
}

export interface TileRace {
  /** The fastest of each kind, where any was measured. */
  tiles: TileChoice;
  times: Partial<Record<ProductKind, TileTime[]>>;
  milliseconds: number;
}

export interface RaceOptions {
  /** Milliseconds that kernels may take to compile, all of them at once; one that takes longer does not take part. */
  compileMs?: number;
  /** Milliseconds of measuring after which nothing more is begun. */
  raceMs?: number;
  /** Candidates of each kind at most. */
  most?: number;
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
/** Milliseconds of work in one batch at least, and times what a browser takes to hear that the GPU is done (up to 4 ms). */
const BATCH_MS = 4;
const WAITS = 4;
const MOST_RUNS = 16;

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
  between: undefined,
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

/** One kind's candidates, and whether each is compiled. */
interface Field {
  kind: ProductKind;
  lane: Lane;
  entries: { tile: MatmulTile; profile: KernelProfile; ready: boolean }[];
  direct: { profile: KernelProfile; ready: boolean };
}

/** Waits until every kernel is compiled or refused, and no longer than that. */
async function compileAll(fields: readonly Field[], tokens: number, most: number): Promise<void> {
  const begin = (lane: Lane, entry: { profile: KernelProfile; ready: boolean }) =>
    lane.compile(entry.profile, tokens).then(
      () => {
        entry.ready = true;
      },
      () => undefined,
    );
  // First those without which nothing can be said, then the likeliest.
  const all = fields.map(({ lane, direct }) => begin(lane, direct));
  const longest = Math.max(...fields.map(({ entries }) => entries.length));
  for (let i = 0; i < longest; i++) {
    for (const { lane, entries } of fields) if (entries[i]) all.push(begin(lane, entries[i]));
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise((done) => {
    timer = setTimeout(done, most);
  });
  await Promise.race([Promise.all(all), late]);
  clearTimeout(timer);
}

/**
 * Measures the candidates of `gpu`'s tier (src/gpu/profile.ts) against each other. What the device refuses meanwhile is not
 * counted among its faults, and its tile does not win.
 * @throws GpuError `out-of-memory` when there is no room for about 100 MB
 */
export async function raceTiles(gpu: Gpu, options: RaceOptions = {}): Promise<TileRace> {
  const { compileMs = 1000, raceMs = 500, most = 4, shape = SHAPE, onProgress } = options;
  const { device, profile } = gpu;
  const began = performance.now();
  const race: TileRace = { tiles: {}, times: {}, milliseconds: 0 };
  const cmd = new Commands(device);
  const widest = shape.tokens * Math.max(shape.rows, shape.columns);
  const [from, to] = [randomFloats(device, widest), randomFloats(device, widest)];
  const memories: Memory[] = [];
  device.pushErrorScope('validation');
  device.pushErrorScope('internal');
  try {
    const weights: Weight[] = [];
    for (const format of ['BF16', 'NF4'] as const) {
      const { weight, memory } = await randomMatrix(device, shape.rows, shape.columns, format);
      weights.push(weight);
      memories.push(memory);
    }
    const fields = PRODUCT_KINDS.map((kind): Field => {
      const weight = weights[kind.endsWith('NF4') ? 1 : 0];
      const tiles = tileCandidates(device, kind).slice(0, most);
      return {
        kind,
        lane: new Lane(cmd, kind, weight, { buffer: from }, { buffer: to }),
        entries: tiles.map((tile) => ({ tile, profile: only(profile, tile), ready: false })),
        direct: { profile: { ...only(profile, DIRECT), direct: true }, ready: false },
      };
    });
    const checkedTokens = Math.min(CHECKED_TOKENS, shape.tokens);
    await compileAll(fields, checkedTokens, compileMs);
    const start = performance.now();
    const total = fields.reduce((sum, { entries }) => sum + entries.length, 0);
    let done = 0;
    for (const [i, field] of fields.entries()) {
      const deadline = start + (raceMs * (i + 1)) / fields.length;
      const times = await raceField(field, profile.tier, shape.tokens, deadline);
      race.times[field.kind] = times;
      const winner = fastest(times);
      if (winner) race.tiles[field.kind] = winner;
      done += times.length;
      onProgress?.(done, total);
    }
  } finally {
    await cmd.finish().catch(() => undefined);
    await Promise.all([device.popErrorScope(), device.popErrorScope()]).catch(() => undefined);
    for (const memory of memories) memory.destroy();
    from.destroy();
    to.destroy();
    cmd.destroy();
  }
  race.milliseconds = performance.now() - began;
  return race;
}

async function raceField(field: Field, tier: Tier, mostTokens: number, deadline: number): Promise<TileTime[]> {
  const { lane, entries, direct } = field;
  const checkedTokens = Math.min(CHECKED_TOKENS, mostTokens);
  const allowed = tier === 'f32' ? 1e-5 : TIER_TOLERANCES[tier].gradients;
  const best = entries.map(() => Number.POSITIVE_INFINITY);
  const right: number[] = [];
  if (direct.ready) {
    const expected = await lane.results(direct.profile, checkedTokens);
    for (const [i, { profile, ready }] of entries.entries()) {
      if (!ready) continue;
      if (difference(await lane.results(profile, checkedTokens), expected) < allowed) right.push(i);
    }
  }
  let tokens = mostTokens;
  const time = (i: number, runs: number) => lane.time(entries[i].profile, tokens, runs);
  let once = right.length > 0 ? await time(right[0], 1) : 0;
  while (once > SLOW_MS && tokens > checkedTokens) {
    tokens = Math.max(checkedTokens, tokens / 2);
    once = await time(right[0], 1);
  }
  const wait = await lane.wait();
  const batch = Math.max(BATCH_MS, WAITS * wait);
  const runs = Math.max(1, Math.min(MOST_RUNS, Math.ceil(batch / Math.max(once - wait, 0.05))));
  // In turn, so that the device's clock meets all of them alike; the least of a few is the least disturbed.
  for (let round = 0; round < ROUNDS; round++) {
    for (const i of right) best[i] = Math.min(best[i], await time(i, runs));
    if (performance.now() > deadline) break;
  }
  return entries.map(({ tile }, i) => ({ tile, ms: Number.isFinite(best[i]) ? best[i] : null }));
}
