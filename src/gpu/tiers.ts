/**
 * Tiers of arithmetic, from what every device has to what few have. All of them add up in f32:
 *
 *   f32               f32 throughout
 *   f16               operands of the large products as f16 (`shader-f16`)
 *   subgroup-matrix   the same on the GPU's matrix units (`chromium-experimental-subgroup-matrix`)
 */

export const TIERS = ['f32', 'f16', 'subgroup-matrix'] as const;
export type Tier = (typeof TIERS)[number];

export const SUBGROUP_MATRIX = 'chromium-experimental-subgroup-matrix' as GPUFeatureName;

/** Features to ask for where the adapter has them. */
export const TIER_FEATURES = ['shader-f16', 'subgroups' as GPUFeatureName, SUBGROUP_MATRIX] as const;

/** How matrix units are programmed on a device. */
export interface MatrixUnits {
  /** Where majorness is written: as a template argument, or (before 2026) as a bool argument. */
  spelling: 'template' | 'argument';
  /** Threads of a subgroup. */
  subgroup: number;
}

export interface TierSupport {
  /** Slowest first; always with 'f32'. */
  tiers: readonly Tier[];
  matrix: MatrixUnits | null;
}

interface MatrixConfig {
  componentType: string;
  resultComponentType: string;
  M: number;
  N: number;
  K: number;
}

type MatrixInfo = GPUAdapterInfo & { subgroupMatrixConfigs?: readonly MatrixConfig[] };

const spellings = {
  template: 'subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&x, 0u, 16u)',
  argument: 'subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>>(&x, 0u, false, 16u)',
};

const probeCode = (spelling: MatrixUnits['spelling'], threads: number) => `
enable f16;
enable chromium_experimental_subgroup_matrix;
@group(0) @binding(0) var<storage, read_write> x: array<f16>;
@compute @workgroup_size(${threads}) fn main() { let a = ${spellings[spelling]}; }`;

/** The spelling that this device's compiler takes; null when it takes neither. */
async function spellingOf(device: GPUDevice, threads: number): Promise<MatrixUnits['spelling'] | null> {
  for (const spelling of ['template', 'argument'] as const) {
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label: 'spelling', code: probeCode(spelling, threads) });
    const { messages } = await module.getCompilationInfo();
    const error = await device.popErrorScope();
    if (!error && !messages.some(({ type }) => type === 'error')) return spelling;
  }
  return null;
}

/** What a device, opened with TIER_FEATURES where its adapter has them, can compute with. */
export async function tierSupport(device: GPUDevice, info: GPUAdapterInfo, isSoftware: boolean): Promise<TierSupport> {
  const tiers: Tier[] = ['f32'];
  if (isSoftware || !device.features.has('shader-f16')) return { tiers, matrix: null };
  tiers.push('f16');
  const configs = (info as MatrixInfo).subgroupMatrixConfigs ?? [];
  const fits = configs.some(
    (c) => c.componentType === 'f16' && c.resultComponentType === 'f32' && c.M === 16 && c.N === 16 && c.K === 16,
  );
  const { subgroupMinSize, subgroupMaxSize } = info;
  // A kernel gives each subgroup its own block of results, so it must know how many threads one has.
  if (!fits || !device.features.has(SUBGROUP_MATRIX) || subgroupMinSize !== subgroupMaxSize)
    return { tiers, matrix: null };
  const spelling = await spellingOf(device, subgroupMaxSize);
  if (!spelling) return { tiers, matrix: null };
  tiers.push('subgroup-matrix');
  return { tiers, matrix: { spelling, subgroup: subgroupMaxSize } };
}
