import { describe, expect, it } from 'vitest';
import { adviceOn, type RunSize } from '../../src/train/advice';
import { DEFAULT_HPARAMS, type HParams } from '../../src/train/hparams';

const LLAMA_1B: RunSize = { parameters: 1.24e9, trainPairs: 1000, totalSteps: 375, stepsPerEpoch: 125 };
const sourcesOf = (change: Partial<HParams>, size: Partial<RunSize> = {}): string[] =>
  adviceOn({ ...DEFAULT_HPARAMS, ...change }, { ...LLAMA_1B, ...size }).map(({ source }) => source.title);

describe('advice', () => {
  it('has nothing to say of usual settings', () => {
    expect(sourcesOf({})).toEqual([]);
    expect(sourcesOf({ learning_rate: 2e-4 })).toEqual([]);
    expect(sourcesOf({ lora_r: 128, use_rslora: true })).toEqual([]);
  });

  it.each([
    ['a rate far above QLoRA’s', { learning_rate: 5e-4 }, {}, /QLoRA/],
    ['the same for a large model', { learning_rate: 2.5e-4 }, { parameters: 7e10 }, /QLoRA/],
    ['a rate that moves nothing', { learning_rate: 5e-7 }, {}, /example of ORPO/],
    ['beta 0', { beta: 0 }, {}, /ORPO paper/],
    ['a large beta', { beta: 2 }, {}, /index of papers/],
    ['many epochs', {}, { totalSteps: 1000 }, /index of papers/],
    ['few steps', {}, { totalSteps: 12 }, /recipe/],
    ['a high rank', { lora_r: 128 }, {}, /rank-stabilised/],
  ] as const)('names its source for %s', (_, change, size, source) => {
    expect(sourcesOf(change, size)).toEqual([expect.stringMatching(source)]);
  });

  it('knows no highest rate for toys', () => {
    expect(sourcesOf({ learning_rate: 5e-3 }, { parameters: 1.5e7 })).toEqual([]);
  });
});
