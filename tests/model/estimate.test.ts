/** The memory of a run that is only thought of, against the plan of one with such data, in every tier. */
import { expect, it } from 'vitest';
import { randomPairs } from '../../src/bench/step';

import { totalBytes } from '../../src/gpu/memory';
import { profileFor } from '../../src/gpu/profile';
import type { MatrixUnits, Tier } from '../../src/gpu/tiers';
import { estimateSpecs } from '../../src/model/estimate';
import { KNOWN_CONFIGS } from '../../src/model/known-configs';
import { operandSpecs } from '../../src/model/operand-plan';
import { DEFAULT_HPARAMS } from '../../src/train/hparams';
import { planTraining } from '../../src/train/run-plan';

const LENGTH = 1024;
const PAIRS = 2;
const limits = {
  maxBufferSize: 2 ** 31,
  maxStorageBufferBindingSize: 2 ** 31 - 4,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupStorageSize: 49152,
};
const units: MatrixUnits = { spelling: 'template', subgroup: 32 };

it.each<[Tier, number]>([
  ['f32', 0],
  ['f16', 1],
  ['subgroup-matrix', 1],
])('%s: every buffer that the run has, and no other', (tier, hasHalf) => {
  const { config } = KNOWN_CONFIGS.find(({ id }) => id === 'llama-3.2-1b')!;
  const profile = profileFor({ limits } as GPUDevice, false, tier, units);
  const hparams = { ...DEFAULT_HPARAMS, max_length: LENGTH, per_device_train_batch_size: PAIRS };
  const pairs = randomPairs({ pairs: PAIRS, length: LENGTH, prompt: LENGTH / 2 }, PAIRS, config.vocabSize);
  const run = planTraining(config, limits, profile, { ...hparams, max_steps: 1 }, pairs, [], PAIRS * 2 * LENGTH);
  const planned = [...run.buffers, ...operandSpecs(profile, config, true, run.capacity, limits)];
  const input = { config, format: 'NF4' as const, hparams, pairs: PAIRS, promptShare: 0.5 };
  const estimated = estimateSpecs(input, limits, profile).filter(({ group }) => group !== 'weights');
  expect(estimated.map(({ name }) => name).sort()).toEqual(planned.map(({ name }) => name).sort());
  expect(estimated.filter(({ name }) => name.startsWith('half.')).length > 0).toBe(hasHalf === 1);
  const bytes = new Map(planned.map((spec) => [spec.name, spec.bytes]));
  for (const spec of estimated) expect(spec.bytes / bytes.get(spec.name)!, spec.name).toBeCloseTo(1, 2);
  expect(totalBytes(estimated) / totalBytes(planned)).toBeCloseTo(1, 3);
});
