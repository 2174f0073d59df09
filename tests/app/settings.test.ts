import { describe, expect, it } from 'vitest';
import { OPTIMIZERS, SCHEDULERS, TRUNCATIONS } from '../../src/app/settings/constants';
import { FIELDS, fieldByKey } from '../../src/app/settings/fields';
import { SettingsFileError, settingsFromJson, settingsToJson } from '../../src/app/settings/json';
import { PRESETS, presetById } from '../../src/app/settings/presets';
import { changedKeys, checkField, checkHParams, parseNumber } from '../../src/app/settings/validate';
import * as engine from '../../src/train/hparams';
import { DEFAULT_SAMPLES } from '../../src/train/sample-settings';

describe('the page and the engine agree', () => {
  it('on choices', () => {
    expect(SCHEDULERS.map(({ value }) => value)).toEqual(engine.LR_SCHEDULER_TYPES);
    expect([...TRUNCATIONS.map(({ value }) => value)].sort()).toEqual([...engine.TRUNCATIONS].sort());
    expect(OPTIMIZERS.map(({ value }) => value)).toEqual(engine.OPTIMIZERS);
  });

  it('on the names: every setting can be changed here', () => {
    const names = Object.keys(engine.DEFAULT_HPARAMS);
    expect(FIELDS.map(({ key }) => key).sort()).toEqual(names.sort());
  });
});

describe('presets', () => {
  it.each(PRESETS.map((preset) => [preset.id, preset]))('%s is valid and its own', (_, preset) => {
    expect(checkHParams(preset.hparams)).toEqual({});
    expect(changedKeys(preset.hparams, preset.hparams)).toEqual([]);
  });

  it('do not share their lists', () => {
    expect(PRESETS[0].hparams.target_modules).not.toBe(PRESETS[1].hparams.target_modules);
  });
});

describe('checks', () => {
  const check = (key: string, value: unknown) => checkField(fieldByKey(key)!, value);

  it.each([
    ['learning_rate', 8e-6],
    ['max_steps', -1],
    ['max_steps', 0],
    ['eval_steps', 0.25],
    ['target_modules', ['q_proj']],
    ['eos_token_id', null],
    ['eos_token_id', 128_009],
    ['eos_token_id', 'tokenizer'],
  ])('%s may be %j', (key, value) => expect(check(key, value)).toBeNull());

  it.each([
    ['learning_rate', 0],
    ['learning_rate', '1e-4'],
    ['learning_rate', Number.NaN],
    ['max_steps', -2],
    ['warmup_steps', 1.5],
    ['eval_steps', 2.5],
    ['lora_r', 1.5],
    ['adam_beta1', 1],
    ['target_modules', []],
    ['target_modules', ['x_proj']],
    ['lr_scheduler_type', 'polynomial'],
    ['shuffle', 'yes'],
    ['bos_token_id', -1],
  ])('%s may not be %j, and the answer says what may', (key, value) =>
    expect(check(key, value)).toMatch(/may|must|whole|number|module/),
  );

  it('sees settings that contradict each other', () => {
    const { hparams: standard } = presetById('standard');
    const hparams = { ...standard, truncation: 'classic' as const, max_length: 256, max_prompt_length: 256 };
    expect(Object.keys(checkHParams(hparams))).toEqual(['max_prompt_length']);
  });

  it('reads numbers as people type them', () => {
    expect(parseNumber(' 8e-6 ')).toBe(8e-6);
    expect(parseNumber('0,05')).toBe(0.05);
    expect(parseNumber('−1')).toBe(-1);
    expect(parseNumber('')).toBeNaN();
    expect(parseNumber('abc')).toBeNaN();
    expect(parseNumber('1,000.5')).toBeNaN();
  });
});

describe('settings files', () => {
  const current = presetById('standard').hparams;

  it('come back as they went out', () => {
    const changed = { ...current, beta: 0.25, target_modules: ['q_proj' as const], eos_token_id: 7 };
    const format = { format: 'custom', system: 'Be kind.', date: '2026-01-31', template: '{{ messages }}' } as const;
    const asked = { ...DEFAULT_SAMPLES, sample_steps: 0.25, prompts: ['Hello!'], seed: 3 };
    const { hparams, prompt, samples, unknown } = settingsFromJson(settingsToJson(changed, format, asked), current);
    expect(hparams).toEqual(changed);
    expect(prompt).toEqual(format);
    expect(samples).toEqual(asked);
    expect(unknown).toEqual([]);
  });

  it('may name only some settings, and others that mean nothing here', () => {
    const { hparams, prompt, read, unknown } = settingsFromJson(
      '{"beta": 0.3, "attn_implementation": "eager"}',
      current,
    );
    expect(hparams).toEqual({ ...current, beta: 0.3 });
    expect(read).toEqual(['beta']);
    expect(prompt).toBeNull();
    expect(unknown).toEqual(['attn_implementation']);
  });

  it.each([
    ['{"beta": ', /not JSON/],
    ['[1]', /one JSON object/],
    ['{"beta": "much"}', /beta is "much"/],
    ['{"lora_r": 0}', /lora_r is 0/],
    ['{"nothing": 1}', /names no setting/],
    ['{"use_dora": "yes"}', /use_dora/],
    ['{"prompt": {"format": "morse"}}', /prompt format/],
    ['{"samples": {"temperature": 0}}', /temperature must be above 0/],
    ['{"samples": {"prompts": [""]}}', /texts that are not empty/],
  ])('%s is refused with the reason', (text, reason) => {
    expect(() => settingsFromJson(text, current)).toThrow(SettingsFileError);
    expect(() => settingsFromJson(text, current)).toThrow(reason);
  });
});
