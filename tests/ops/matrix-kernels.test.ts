/** Kernels for matrix units compile, in both spellings, on Dawn's null device, which has every feature and computes nothing. */

import { beforeAll, describe, expect, test } from 'vitest';
import { create } from 'webgpu';
import source from '../../shaders/matmul_matrix.wgsl?raw';
import floatSource from '../../shaders/matmul_matrix_f32.wgsl?raw';
import { spelled } from '../../src/gpu/matrix-spelling';
import { SUBGROUP_MATRIX } from '../../src/gpu/tiers';
import { preprocess } from '../../src/gpu/wgsl';
import { LARGE_MATRIX_TILE, matrixConstants, SMALL_MATRIX_TILE } from '../../src/ops/matmul_matrix';
import { floatMatrixConstants, pickFloatMatrixTile } from '../../src/ops/matmul_matrix_f32';

const kept = globalThis as typeof globalThis & { nullGpu?: GPU };
let device: GPUDevice;

beforeAll(async () => {
  kept.nullGpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
  const adapter = (await kept.nullGpu.requestAdapter())!;
  device = await adapter.requestDevice({ requiredFeatures: ['shader-f16', SUBGROUP_MATRIX] });
});

async function faults(code: string): Promise<string[]> {
  device.pushErrorScope('validation');
  const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
  await device.popErrorScope();
  return messages.filter(({ type }) => type === 'error').map(({ message, lineNum }) => `${lineNum}: ${message}`);
}

describe('products on matrix units', () => {
  const extras = [
    [],
    ['LORA'],
    ['RESIDUAL'],
    ['LORA', 'RESIDUAL'],
    ['ACCUMULATE'],
    ['LORA', 'ACCUMULATE'],
    ['STAGED', 'RESIDUAL'],
    ['STAGED', 'LORA', 'COLUMN_SCALE', 'RESIDUAL'],
  ];
  for (const spelling of ['template', 'argument'] as const) {
    for (const rows of [['B_ROWS_N'], []]) {
      for (const [name, tile] of Object.entries({ large: LARGE_MATRIX_TILE, small: SMALL_MATRIX_TILE })) {
        test(`${spelling}, ${rows[0] ?? 'backward'}, ${name} tile`, async () => {
          for (const extra of extras) {
            const vectors = spelling === 'template' ? ['VECTORS'] : [];
            const flags = new Set([...rows, ...extra, ...vectors, 'HALF', 'MATRIX', 'SPLITS']);
            const constants = matrixConstants(tile, { spelling, subgroup: 32 });
            expect(await faults(preprocess(spelled(source, spelling), flags, constants))).toEqual([]);
          }
        });
      }
    }
  }

  test.each(['template', 'argument'] as const)('of f32, %s', async (spelling) => {
    const constants = floatMatrixConstants(pickFloatMatrixTile(), { spelling, subgroup: 32, operands: 'f32' });
    for (const rows of [['B_ROWS_N'], []]) {
      for (const extra of [['W_NF4'], ['W_F32', 'LORA'], ['W_BF16', 'LORA', 'COLUMN_SCALE', 'RESIDUAL']]) {
        const flags = new Set([...rows, ...extra, 'SPLITS']);
        expect(await faults(preprocess(spelled(floatSource, spelling), flags, constants))).toEqual([]);
      }
    }
  });

  test('what is wrong is found', async () => {
    const constants = matrixConstants(LARGE_MATRIX_TILE, { spelling: 'template', subgroup: 32 });
    const code = preprocess(source, new Set(['HALF', 'MATRIX', 'VECTORS', 'SPLITS', 'B_ROWS_N']), constants);
    expect(await faults(code.replace('col_major', 'some_major'))).not.toEqual([]);
    expect(spelled(code, 'argument')).not.toContain('_major');
  });
});
