/** Settings from JSON: defaults, every key checked, mistakes named. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { TrainingError } from '../../src/train/errors';
import { DEFAULT_HPARAMS } from '../../src/train/hparams';
import { parseHParams } from '../../src/train/parse-hparams';
import { repositoryPath } from '../support/files';

describe('parseHParams', () => {
  test('nothing given: the defaults, and lists of one own', () => {
    const { hparams, unknown } = parseHParams({});
    expect(hparams).toEqual(DEFAULT_HPARAMS);
    expect(hparams.target_modules).not.toBe(DEFAULT_HPARAMS.target_modules);
    expect(unknown).toEqual([]);
  });

  test('what is given replaces a default; what this trainer does not know is told', () => {
    const { hparams, unknown } = parseHParams({
      beta: 0.25,
      optim: 'adamw_bnb_32bit',
      fp16: true,
      dataloader_workers: 4,
    });
    expect(hparams).toEqual({ ...DEFAULT_HPARAMS, beta: 0.25, optim: 'adamw_bnb_32bit' });
    expect(unknown).toEqual(['fp16', 'dataloader_workers']);
  });

  const settings = (name: string) => repositoryPath(`tests/goldens/${name}/hparams.json`);
  const recorded = readdirSync(repositoryPath('tests/goldens')).filter((name) => existsSync(settings(name)));
  test.each(recorded)('the settings of the recorded run %s', (name) => {
    const json = JSON.parse(readFileSync(settings(name), 'utf8'));
    const { hparams } = parseHParams(json);
    for (const [key, value] of Object.entries(hparams)) if (key in json) expect(value, key).toEqual(json[key]);
  });

  test.each([
    [null, 'settings'],
    [[], 'settings'],
    ['{}', 'settings'],
    [{ beta: '0.1' }, 'beta'],
    [{ beta: -0.1 }, 'beta'],
    [{ learning_rate: Number.NaN }, 'learning_rate'],
    [{ learning_rate: Number.POSITIVE_INFINITY }, 'learning_rate'],
    [{ lora_r: 0 }, 'lora_r'],
    [{ lora_r: 2.5 }, 'lora_r'],
    [{ per_device_train_batch_size: 0 }, 'per_device_train_batch_size'],
    [{ gradient_accumulation_steps: 1.5 }, 'gradient_accumulation_steps'],
    [{ max_length: -1 }, 'max_length'],
    [{ shuffle: 'yes' }, 'shuffle'],
    [{ gradient_checkpointing: 1 }, 'gradient_checkpointing'],
    [{ keep_bytes: -2 }, 'keep_bytes'],
    [{ keep_bytes: 0.5 }, 'keep_bytes'],
    [{ optim: 'sgd' }, 'optim'],
    [{ lr_scheduler_type: 'polynomial' }, 'lr_scheduler_type'],
    [{ truncation_mode: 'keep_middle' }, 'truncation_mode'],
    [{ target_modules: [] }, 'target_modules'],
    [{ target_modules: ['lm_head'] }, 'target_modules'],
    [{ target_modules: 'q_proj' }, 'target_modules'],
    [{ eos_token_id: 'eos' }, 'eos_token_id'],
    [{ pad_token_id: -1 }, 'pad_token_id'],
    [{ seed: 1.5 }, 'seed'],
    [{ beta: null }, 'beta'],
  ])('%j is refused by name', (json, key) => {
    let error: unknown;
    try {
      parseHParams(json);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(TrainingError);
    expect(error).toMatchObject({ code: 'bad-settings', message: expect.stringMatching(new RegExp(`^${key}\\b`)) });
  });
});
