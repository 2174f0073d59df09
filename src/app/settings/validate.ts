/** Checks of settings, each answer a sentence that says what is allowed. */
import { type HParams, TARGET_MODULES } from '../../worker/protocol';
import { formatSetting } from '../lib/format';
import { FIELDS, type Field, type FieldKey, type NumberRule } from './fields';

function rangeOf(rule: NumberRule): string {
  const low = rule.above !== undefined ? `above ${formatSetting(rule.above)}` : undefined;
  const from = rule.min !== undefined ? `from ${formatSetting(rule.min)}` : undefined;
  const high = rule.below !== undefined ? `below ${rule.below}` : rule.max !== undefined ? `up to ${rule.max}` : '';
  const also = rule.also?.length ? `, or ${rule.also.join(' or ')}` : '';
  return `${low ?? from ?? ''} ${high}${also}`.trim();
}

/** Null when `value` is allowed, else what is. */
export function checkNumber(rule: NumberRule, value: number): string | null {
  if (!Number.isFinite(value)) return 'Type a number, e.g. 0.1 or 8e-6.';
  if (rule.also?.includes(value)) return null;
  if (rule.integer && !Number.isInteger(value)) return `This is a whole number ${rangeOf(rule)}.`;
  if (rule.shareOrWhole && value > 1 && !Number.isInteger(value))
    return 'This is a whole number of steps, or a share below 1.';
  const fits =
    (rule.min === undefined || value >= rule.min) &&
    (rule.above === undefined || value > rule.above) &&
    (rule.max === undefined || value <= rule.max) &&
    (rule.below === undefined || value < rule.below);
  return fits ? null : `This may be ${rangeOf(rule)}.`;
}

/** Reads what was typed. A comma is taken as a decimal point. */
export function parseNumber(text: string): number {
  const clean = text
    .trim()
    .replace('−', '-')
    .replace(/^([^,.]*),([^,.]*)$/, '$1.$2');
  return clean === '' ? Number.NaN : Number(clean);
}

/** Null when `value` is an allowed value of `field`, else why not. Accepts anything, so that files can be checked. */
export function checkField(field: Field, value: unknown): string | null {
  switch (field.kind) {
    case 'number':
      return typeof value === 'number' ? checkNumber(field, value) : 'This must be a number.';
    case 'switch':
      return typeof value === 'boolean' ? null : 'This must be true or false.';
    case 'choice':
      return field.choices.some((c) => c.value === value)
        ? null
        : `This may be ${field.choices.map((c) => c.value).join(', ')}.`;
    case 'modules': {
      if (!Array.isArray(value)) return 'This must be a list of module names.';
      const unknown = value.find((name) => !(TARGET_MODULES as readonly unknown[]).includes(name));
      if (unknown !== undefined)
        return `There is no module “${String(unknown)}”; these are: ${TARGET_MODULES.join(', ')}.`;
      return value.length === 0 ? 'Choose at least one module.' : null;
    }
    case 'token':
      if (value === null || value === 'tokenizer') return null;
      return typeof value === 'number' && Number.isInteger(value) && value >= 0
        ? null
        : 'This may be “tokenizer”, null, or a token id from 0.';
  }
}

/** Everything wrong with a set of settings, by key; empty when all is well. */
export function checkHParams(hparams: HParams): Partial<Record<FieldKey, string>> {
  const problems: Partial<Record<FieldKey, string>> = {};
  for (const field of FIELDS) {
    const problem = checkField(field, hparams[field.key]);
    if (problem) problems[field.key] = problem;
  }
  if (hparams.max_prompt_length >= hparams.max_length && hparams.truncation === 'classic') {
    problems.max_prompt_length ??= `This must be less than max_length (${hparams.max_length}), or no room is left for answers.`;
  }
  return problems;
}

export const sameValue = (a: unknown, b: unknown): boolean =>
  Array.isArray(a) && Array.isArray(b) ? a.length === b.length && a.every((x) => b.includes(x)) : a === b;

/** Keys whose value differs from that of `baseline`. */
export const changedKeys = (hparams: HParams, baseline: HParams): FieldKey[] =>
  FIELDS.map((field) => field.key).filter((key) => !sameValue(hparams[key], baseline[key]));
