/** Which kernels and tile shapes are used on this device. */
import type { AttentionKind, AttentionShape } from '../ops/attention_shape';
import type { MatrixUnits, Tier } from './tiers';

/**
 * One tile of a matrix product: a workgroup makes `bm` x `bn` results, `bk` of the inner dimension at a time, and a
 * thread makes `tm` x `tn` of them. All are multiples of 4.
 */
export interface MatmulTile {
  bm: number;
  bn: number;
  bk: number;
  tm: number;
  tn: number;
  /** Values of k that are unrolled, a multiple of 4 that divides `bk`. All when absent, in f32. */
  unroll?: number;
}

/** Products whose best tiles differ: by direction, and by weights or, where both operands are f16, that. */
export type ProductKind = `${'forward' | 'backward'} ${'float' | 'NF4' | 'half'}`;

/** Tiles that were found to be fastest on a device. */
export type TileChoice = Partial<Record<ProductKind, MatmulTile>>;

export interface KernelProfile {
  readonly tier: Tier;
  /** Present in tier 'subgroup-matrix' only: units for f16, or for f32. */
  readonly matrix?: MatrixUnits;
  readonly floatMatrix?: MatrixUnits;
  /** Tiles of products with f16 operands, in tier 'f16' only: `bk` is 16, 32 or 64, `unroll` a multiple of 8. */
  readonly half?: readonly MatmulTile[];
  /** Kernels without workgroup memory: for adapters that compute on the CPU, where barriers cost more than loads. */
  readonly direct: boolean;
  /** For products with many rows and columns. */
  readonly large: MatmulTile;
  /** What was measured to be better than `large`, or the first of `half`, for a kind of product. */
  readonly tuned?: Partial<Record<ProductKind, MatmulTile>>;
  /** Smaller ones, where there are such: for products of some hundred rows. */
  readonly between?: MatmulTile;
  readonly medium?: MatmulTile;
  /** For products that would leave most of the GPU idle with `large`, or where one side is narrow. */
  readonly small: MatmulTile;
  /** For results of few columns and of few rows: the low-rank parts of LoRA and their gradients. `small` when absent. */
  readonly tall?: MatmulTile;
  readonly wide?: MatmulTile;
  /** Queries (and keys) of one attention tile. */
  readonly attentionTile: number;
  /** Bytes of workgroup memory that an attention kernel may take, 16 KiB when absent. */
  readonly attentionMemory?: number;
  /** Shapes of attention's kernels in place of those chosen by size. */
  readonly attention?: Partial<Record<AttentionKind, AttentionShape>>;
  /** Bytes that gate and up of one stretch of tokens may take in training, 64 MiB when absent (model/layer-values). */
  readonly mlpBytes?: number;
  /** The same, for a model small enough to leave memory to spare. */
  readonly spareMlpBytes?: number;
  /** Threads of row-wise kernels (norms, softmax, reductions). */
  readonly rowThreads: number;
}

/** 17 KB of workgroup memory: two such workgroups of 256 threads fit on a multiprocessor of NVIDIA, whose driver gives it 48 KB. */
const SQUARE: MatmulTile = { bm: 128, bn: 128, bk: 16, tm: 8, tn: 8 };
const SHALLOW: MatmulTile = { bm: 128, bn: 128, bk: 8, tm: 8, tn: 8 };
const BROAD: MatmulTile = { bm: 64, bn: 128, bk: 16, tm: 8, tn: 8 };
const MODEST: MatmulTile = { bm: 64, bn: 64, bk: 16, tm: 8, tn: 8 };
const OBLONG: MatmulTile = { bm: 128, bn: 64, bk: 16, tm: 8, tn: 4 };
const FINE: MatmulTile = { bm: 64, bn: 64, bk: 16, tm: 4, tn: 4 };

/** Of products of f16 operands: at most 13 KB of workgroup memory and 128 threads, within what WebGPU guarantees. */
const HALF: readonly MatmulTile[] = [
  { bm: 64, bn: 128, bk: 32, tm: 8, tn: 8 },
  { bm: 64, bn: 64, bk: 32, tm: 8, tn: 8 },
];
/** 17 KB and 256 threads. */
const ROOMY_HALF: readonly MatmulTile[] = [{ bm: 128, bn: 128, bk: 32, tm: 8, tn: 8 }, ...HALF];

/** Whether large products have f16 operands. */
export const usesHalf = ({ matrix, half }: Pick<KernelProfile, 'matrix' | 'half'>): boolean => Boolean(matrix ?? half);

/** Whether a workgroup of this device has the threads and the memory for a tile. */
function holds({ limits }: GPUDevice, { bm, bn, bk, tm, tn }: MatmulTile): boolean {
  const bytes = 16 * bk * (bm / 4 + bn / 4 + 2 * Math.max(1, 32 / bk));
  const threads = (bm / tm) * (bn / tn);
  return threads <= limits.maxComputeInvocationsPerWorkgroup && bytes <= limits.maxComputeWorkgroupStorageSize;
}

const sameTile = (a: MatmulTile, b: MatmulTile): boolean => JSON.stringify(a) === JSON.stringify(b);

/** What may be best for a kind of product on a device, at most four: first what is taken where nothing was measured. */
export function tileCandidates(device: GPUDevice, kind: ProductKind): MatmulTile[] {
  if (kind.endsWith('half')) return [...profileFor(device, false, 'f16').half!];
  const { large, tuned } = profileFor(device, false);
  const taken = tuned?.[kind] ?? large;
  const others = [SQUARE, BROAD, MODEST, SHALLOW, OBLONG, FINE].filter(
    (tile) => holds(device, tile) && !sameTile(tile, taken),
  );
  return [taken, ...others.slice(0, 3)];
}

/**
 * @param matrix needed for tier 'subgroup-matrix'
 * @param tiles what was measured to be best on this device
 */
export function profileFor(
  device: GPUDevice,
  isSoftware: boolean,
  tier: Tier = 'f32',
  matrix: MatrixUnits | null = null,
  tiles: TileChoice = {},
): KernelProfile {
  if (isSoftware) {
    // A workgroup of one subgroup needs no real barrier on the CPU.
    const tile = { bm: 16, bn: 16, bk: 16, tm: 4, tn: 4 };
    const halfTile = { bm: 16, bn: 32, bk: 32, tm: 4, tn: 4, unroll: 8 };
    const half = tier === 'f16' ? { half: [halfTile] } : {};
    const own = tier === 'f16' ? tier : 'f32';
    return { tier: own, ...half, direct: true, large: tile, small: tile, attentionTile: 16, rowThreads: 4 };
  }
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize } = device.limits;
  // Large tiles need 17 KB of workgroup memory: more than the 16 KiB that WebGPU guarantees.
  const roomy = maxComputeInvocationsPerWorkgroup >= 256 && maxComputeWorkgroupStorageSize >= 24576;
  const onUnits = tier === 'subgroup-matrix' && matrix;
  return {
    tier,
    ...(onUnits && matrix.operands === 'f32' && { floatMatrix: matrix }),
    // A weight becomes f16, or f32, anew for every stretch: on matrix units that takes as long as a hundred rows of its product.
    ...(onUnits && matrix.operands !== 'f32' ? { matrix, mlpBytes: 2 ** 28 } : { spareMlpBytes: 2 ** 27 }),
    ...(tier === 'f16' && { half: roomy ? ROOMY_HALF : HALF }),
    direct: false,
    large: roomy ? SQUARE : MODEST,
    ...(roomy && { between: BROAD }),
    medium: MODEST,
    tuned: tiles,
    small: { bm: 32, bn: 32, bk: 16, tm: 4, tn: 4 },
    tall: { bm: 64, bn: 16, bk: 32, tm: 4, tn: 4 },
    wide: { bm: 16, bn: 64, bk: 32, tm: 4, tn: 4 },
    // Tiles of 64 rows need 31 KiB.
    attentionTile: roomy && maxComputeWorkgroupStorageSize >= 32768 ? 64 : 32,
    attentionMemory: maxComputeWorkgroupStorageSize,
    rowThreads: 128,
  };
}
