/** Looking into records whose shape is not known. */
import { RowError } from '../errors';

export type Fields = Record<string, unknown>;

export function isFields(value: unknown): value is Fields {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** A field by name; "input.messages" looks inside, unless a field has that very name. */
export function fieldOf(record: Fields, name: string): unknown {
  if (Object.hasOwn(record, name)) return record[name];
  const dot = name.indexOf('.');
  if (dot < 0) return undefined;
  const outer = Object.hasOwn(record, name.slice(0, dot)) ? record[name.slice(0, dot)] : undefined;
  return isFields(outer) ? fieldOf(outer, name.slice(dot + 1)) : undefined;
}

/** What people call the type of a value. */
export function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  switch (typeof value) {
    case 'string':
      return 'text';
    case 'number':
    case 'bigint':
      return 'a number';
    case 'boolean':
      return 'true or false';
    default:
      return 'an object';
  }
}

/** A field that must be there. Throws `RowError` with `missing-field`. */
export function required(record: Fields, name: string): unknown {
  const value = fieldOf(record, name);
  if (value === undefined || value === null) {
    throw new RowError('missing-field', `The field "${name}" is missing${value === null ? ' (null)' : ''}.`);
  }
  return value;
}

/** A text field that must be there. Throws `RowError` with `missing-field` or `wrong-type`. */
export function requiredText(record: Fields, name: string): string {
  const value = required(record, name);
  if (typeof value !== 'string') {
    throw new RowError('wrong-type', `The field "${name}" holds ${typeName(value)} instead of text.`);
  }
  return value;
}
