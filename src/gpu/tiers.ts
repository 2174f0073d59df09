/**
 * Tiers of arithmetic, from what every device has to what few have. All of them add up in f32:
 *
 *   f32               f32 throughout
 *   f16               operands of the large products as f16 (`shader-f16`)
 *   subgroup-matrix   the same on the GPU's matrix units (`chromium-experimental-subgroup-matrix`); operands stay f32 where those
 *                     multiply f32 only
 */

export const TIERS = ['f32', 'f16', 'subgroup-matrix'] as const;
export type Tier = (typeof TIERS)[number];

/** How far a step in a tier may be from the same step in f32: the loss relatively, gradients by their relative L2 distance. */
export const TIER_TOLERANCES: Record<Tier, { loss: number; gradients: number }> = {
  f32: { loss: 1e-5, gradients: 1e-4 },
  f16: { loss: 5e-3, gradients: 2e-2 },
  'subgroup-matrix': { loss: 5e-3, gradients: 2e-2 },
};

/** The tolerances of a device's tier: where nothing is rounded to 16 bits they are those of f32. */
export const tolerancesOf = (profile: { tier: Tier; floatMatrix?: MatrixUnits }) =>
  TIER_TOLERANCES[profile.floatMatrix ? 'f32' : profile.tier];

export const SUBGROUP_MATRIX = 'chromium-experimental-subgroup-matrix' as GPUFeatureName;

/** Features to ask for where the adapter has them. */
export const TIER_FEATURES = ['shader-f16', 'subgroups' as GPUFeatureName, SUBGROUP_MATRIX] as const;

/** How matrix units are programmed on a device. */
export interface MatrixUnits {
  /**
   * Where majorness is written: as a template argument, which comes with blocks in arrays of vectors, or (before 2026) as a bool
   * argument.
   */
  spelling: 'template' | 'argument';
  /** Threads of a subgroup. */
  subgroup: number;
  /** What they multiply: f16 in blocks of 16 x 16 when absent, or f32 in blocks of 8 x 8, as Apple's do. Sums are f32. */
  operands?: 'f32';
}

export interface TierSupport {
  /** Slowest first; always with 'f32'. */
  tiers: readonly Tier[];
  matrix: MatrixUnits | null;
  /** What each of the other tiers needs and the device lacks, e.g. "shader-f16, which …". */
  missing: Partial<Record<Tier, string>>;
}

interface MatrixConfig {
  componentType: string;
  resultComponentType: string;
  M: number;
  N: number;
  K: number;
}

type MatrixInfo = GPUAdapterInfo & { subgroupMatrixConfigs?: readonly MatrixConfig[] };

/** A block of f32 lies in an array of f32 in either spelling; one of f16 in vectors where it can. */
const spellings = {
  f16: {
    template: { array: 'vec4u', load: 'subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&x, 0u, 2u)' },
    argument: { array: 'f16', load: 'subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>>(&x, 0u, false, 16u)' },
  },
  f32: {
    template: { array: 'f32', load: 'subgroupMatrixLoad<subgroup_matrix_left<f32, 8, 8>, row_major>(&x, 0u, 8u)' },
    argument: { array: 'f32', load: 'subgroupMatrixLoad<subgroup_matrix_left<f32, 8, 8>>(&x, 0u, false, 8u)' },
  },
};

const probeCode = ({ array, load }: { array: string; load: string }, threads: number) => `
enable f16;
enable chromium_experimental_subgroup_matrix;
@group(0) @binding(0) var<storage, read_write> x: array<${array}>;
@compute @workgroup_size(${threads}) fn main() { let a = ${load}; }`;

/** The spelling that this device's compiler takes; null when it takes neither. */
async function spellingOf(
  device: GPUDevice,
  operands: keyof typeof spellings,
  threads: number,
): Promise<MatrixUnits['spelling'] | null> {
  for (const spelling of ['template', 'argument'] as const) {
    device.pushErrorScope('validation');
    const module = device.createShaderModule({
      label: 'spelling',
      code: probeCode(spellings[operands][spelling], threads),
    });
    const { messages } = await module.getCompilationInfo();
    const error = await device.popErrorScope();
    if (!error && !messages.some(({ type }) => type === 'error')) return spelling;
  }
  return null;
}

/** Chrome and Dawn hide f16 on NVIDIA's Vulkan driver unless this toggle is set. */
export const F16_ON_NVIDIA = 'vulkan_enable_f16_on_nvidia';

function missingF16(info: GPUAdapterInfo): string {
  const onLinux = /Linux/.test(globalThis.navigator?.platform ?? '');
  return /nvidia/i.test(info.vendor) && onLinux
    ? `shader-f16, which Chrome hides on NVIDIA under Linux (--enable-dawn-features=${F16_ON_NVIDIA} shows it)`
    : 'shader-f16, which this adapter does not offer';
}

/** What a device, opened with TIER_FEATURES where its adapter has them, can compute with. */
export async function tierSupport(device: GPUDevice, info: GPUAdapterInfo, isSoftware: boolean): Promise<TierSupport> {
  const noF16 = isSoftware ? 'a GPU: this adapter computes on the processor' : missingF16(info);
  if (isSoftware || !device.features.has('shader-f16')) {
    return { tiers: ['f32'], matrix: null, missing: { f16: noF16, 'subgroup-matrix': noF16 } };
  }
  const { matrix, missing } = await matrixUnits(device, info);
  if (!matrix) return { tiers: ['f32', 'f16'], matrix, missing: { 'subgroup-matrix': missing } };
  return { tiers: TIERS, matrix, missing: {} };
}

/** A kernel gives each subgroup its own block of results, so it must know how many threads one has. */
function subgroupSize({ vendor, subgroupMinSize, subgroupMaxSize }: GPUAdapterInfo): number | null {
  if (subgroupMinSize === subgroupMaxSize) return subgroupMaxSize;
  // Older versions of Dawn tell 4 and 64 of every Metal device.
  return /apple/i.test(vendor) ? 32 : null;
}

type Units = { matrix: MatrixUnits; missing?: undefined } | { matrix: null; missing: string };

async function matrixUnits(device: GPUDevice, info: GPUAdapterInfo): Promise<Units> {
  const without = (missing: string): Units => ({ matrix: null, missing });
  if (!device.features.has(SUBGROUP_MATRIX)) {
    return without(
      `${SUBGROUP_MATRIX}, which Chrome offers with --enable-unsafe-webgpu where the GPU has matrix units`,
    );
  }
  if (!device.features.has('subgroups' as GPUFeatureName)) return without('subgroups, whose threads exchange values');
  const configs = (info as MatrixInfo).subgroupMatrixConfigs ?? [];
  const has = (operands: string, size: number) =>
    configs.some(
      ({ componentType, resultComponentType, M, N, K }) =>
        componentType === operands && resultComponentType === 'f32' && M === size && N === size && K === size,
    );
  const operands = has('f16', 16) ? 'f16' : has('f32', 8) ? 'f32' : null;
  if (!operands) return without('matrix units for 16 x 16 x 16 products of f16 or 8 x 8 x 8 of f32, added up in f32');
  const subgroup = subgroupSize(info);
  if (!subgroup) return without('subgroups of one size');
  const spelling = await spellingOf(device, operands, subgroup);
  if (!spelling) return without('a browser whose compiler knows this spelling of subgroup matrices');
  return { matrix: { spelling, subgroup, ...(operands === 'f32' && { operands }) } };
}
