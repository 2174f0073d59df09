/** Attention's kernels for matrix units compile on Dawn's null device, which has every feature and computes nothing. */
import { beforeAll, describe, expect, test } from 'vitest';
import { create } from 'webgpu';
import deltaSource from '../../shaders/attention_matrix_delta.wgsl?raw';
import type { KernelProfile } from '../../src/gpu/profile';
import { SUBGROUP_MATRIX } from '../../src/gpu/tiers';
import { preprocess } from '../../src/gpu/wgsl';
import { matrixAttentionSpec } from '../../src/ops/attention_matrix';
import { matrixAttentionBytes, matrixAttentionShape } from '../../src/ops/attention_matrix_shape';
import type { AttentionKind } from '../../src/ops/attention_shape';
import { profiles } from './support';

const kept = globalThis as typeof globalThis & { nullGpu?: GPU };
let device: GPUDevice;

beforeAll(async () => {
  kept.nullGpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
  const adapter = (await kept.nullGpu.requestAdapter())!;
  const features = ['shader-f16', 'subgroups', SUBGROUP_MATRIX] as GPUFeatureName[];
  device = await adapter.requestDevice({ requiredFeatures: features });
});

async function faults(code: string): Promise<string[]> {
  device.pushErrorScope('validation');
  const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
  await device.popErrorScope();
  return messages.filter(({ type }) => type === 'error').map(({ message, lineNum }) => `${lineNum}: ${message}`);
}

const KINDS: AttentionKind[] = ['FORWARD', 'BACKWARD_Q', 'BACKWARD_KV'];
const units = { spelling: 'template', subgroup: 32 } as const;
const onUnits = (memory: number): KernelProfile => ({
  ...profiles['tiles of 32'],
  tier: 'subgroup-matrix',
  matrix: units,
  attentionTile: 64,
  attentionMemory: memory,
});
const HEADS = [
  { heads: 32, kvHeads: 8, headDim: 64 },
  { heads: 24, kvHeads: 8, headDim: 128 },
  { heads: 32, kvHeads: 32, headDim: 128 },
  { heads: 32, kvHeads: 4, headDim: 64 },
];

describe.each(KINDS)('%s', (kind) => {
  test.each(HEADS)('compiles for $heads heads of $headDim, $kvHeads of keys', async (heads) => {
    for (const memory of [49152, 32768]) {
      const shape = matrixAttentionShape(onUnits(memory), kind, heads)!;
      expect(matrixAttentionBytes(kind, shape, heads.headDim)).toBeLessThanOrEqual(memory);
      const spec = matrixAttentionSpec(kind, shape, units, heads.headDim, 64);
      const code = preprocess(spec.source, new Set(spec.flags), spec.constants!);
      expect(await faults(code)).toEqual([]);
      expect(await faults(code.replace('row_major', 'some_major'))).not.toEqual([]);
    }
  });

  test('is left to f32 where the units, the heads or the memory do not suit', () => {
    const [heads] = HEADS;
    const profile = onUnits(49152);
    expect(matrixAttentionShape({ ...profile, matrix: { ...units, spelling: 'argument' } }, kind, heads)).toBeNull();
    expect(matrixAttentionShape({ ...profile, matrix: undefined }, kind, heads)).toBeNull();
    expect(matrixAttentionShape({ ...profile, direct: true }, kind, heads)).toBeNull();
    expect(matrixAttentionShape(profile, kind, { ...heads, headDim: 48 })).toBeNull();
    expect(matrixAttentionShape(onUnits(8192), kind, heads)).toBeNull();
  });
});

test('delta compiles', async () => {
  expect(await faults(preprocess(deltaSource, new Set(), {}))).toEqual([]);
});
