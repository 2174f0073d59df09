/** Which tiles of the large products are fastest on this device: measured once, each checked before it may win. */
import { Commands } from '../gpu/commands';
import { chooseTier, type Gpu, withTier } from '../gpu/device';
import type { Memory } from '../gpu/memory';
import { type KernelProfile, type MatmulTile, type ProductKind, type TileChoice, tileCandidates } from '../gpu/profile';
import { TIER_TOLERANCES, type Tier } from '../gpu/tiers';
import type { Weight } from '../ops/weight';
import { randomMatrix } from './random-weights';
import { DIRECT, halfRoom, Lane, only, randomFloats, type Shape } from './tile-race-lane';

const PLAIN_KINDS = ['forward float', 'backward float', 'forward NF4', 'backward NF4'] as const;
const HALF_KINDS = ['forward half', 'backward half'] as const;

/** What is measured on a device: products of f16 operands only where that is its fastest tier, and then first. */
export const productKinds = ({ support }: Pick<Gpu, 'support'>): readonly ProductKind[] =>
  chooseTier(support, 'auto') === 'f16' ? [...HALF_KINDS, ...PLAIN_KINDS] : PLAIN_KINDS;

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
  shape?: Shape;
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
 * Measures the candidates of each kind (src/gpu/profile.ts) against each other, products of f16 operands with what makes them
 * so. What the device refuses meanwhile is not
 * counted among its faults, and its tile does not win.
 * @throws GpuError `out-of-memory` when there is no room for about 130 MB
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
  const kinds = productKinds(gpu);
  const halfProfile = withTier(gpu, 'f16', {}).profile;
  const half = kinds.includes('forward half') ? halfRoom(device, halfProfile, shape) : undefined;
  device.pushErrorScope('validation');
  device.pushErrorScope('internal');
  try {
    const weights: Weight[] = [];
    for (const format of ['BF16', 'NF4'] as const) {
      const { weight, memory } = await randomMatrix(device, shape.rows, shape.columns, format);
      weights.push(weight);
      memories.push(memory);
    }
    const fields = kinds.map((kind): Field => {
      const weight = weights[kind.endsWith('NF4') ? 1 : 0];
      const tiles = tileCandidates(device, kind).slice(0, most);
      const isHalf = kind.endsWith('half');
      const own = isHalf ? halfProfile : profile;
      return {
        kind,
        lane: new Lane(cmd, kind, weight, { buffer: from }, { buffer: to }, isHalf ? half : undefined),
        entries: tiles.map((tile) => ({ tile, profile: only(own, tile), ready: false })),
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
      const times = await raceField(field, field.kind.endsWith('half') ? 'f16' : profile.tier, shape.tokens, deadline);
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
    for (const buffer of Object.values(half ?? {})) buffer.destroy();
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
