/** Values out of a benchmark's row, or a reason why it cannot be used. */

export type Fields = Record<string, unknown>;

/** A row that cannot be used; the message is a sentence for people. */
export class ItemError extends Error {
  override readonly name = 'ItemError';
}

export const isFields = (value: unknown): value is Fields =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

export const holds = (row: Fields, ...names: string[]): boolean => names.every((name) => row[name] !== undefined);

export function text(row: Fields, name: string): string {
  const value = row[name];
  if (typeof value !== 'string') throw new ItemError(`“${name}” should be text.`);
  return value;
}

export function texts(value: unknown, name: string, least = 2): string[] {
  if (!Array.isArray(value) || !value.every((v): v is string => typeof v === 'string')) {
    throw new ItemError(`“${name}” should be a list of texts.`);
  }
  if (value.length < least) throw new ItemError(`“${name}” should hold at least ${least} texts.`);
  return value;
}

/** The index that an answer names: a number, a digit, a letter, a label of the choices, or one of the choices itself. */
export function goldIndex(value: unknown, choices: readonly string[], labels?: readonly string[]): number {
  const [single] = Array.isArray(value) && value.length === 1 ? value : [value];
  const index = Number.isInteger(single) ? Number(single) : typeof single === 'bigint' ? Number(single) : -1;
  if (index >= 0 && index < choices.length) return index;
  if (typeof single === 'string') {
    const named = single.trim();
    const label = labels?.indexOf(named) ?? -1;
    if (label >= 0) return label;
    const letter = /^\(?([A-Za-z])\)?\.?$/u.exec(named);
    const at = letter ? letter[1].toUpperCase().charCodeAt(0) - 65 : /^\d+$/u.test(named) ? Number(named) : -1;
    if (at >= 0 && at < choices.length) return at;
    const same = choices.findIndex((choice) => choice.trim() === named);
    if (same >= 0) return same;
  }
  throw new ItemError(
    `The answer ${JSON.stringify(value)?.slice(0, 40)} names none of the ${choices.length} choices. ` +
      'Give its index from 0, or its letter from A.',
  );
}
