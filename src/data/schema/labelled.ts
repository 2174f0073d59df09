/** Two answers and a field that says which is the better one. */
import { RowError } from '../errors';
import { type Fields, fieldOf, required, typeName } from './fields';

/** Field names of the first and second answer, and what their suffixes count from (null: letters). */
export const LABELLED_ANSWERS: readonly { names: [string, string]; base: 0 | 1 | null }[] = [
  { names: ['output_1', 'output_2'], base: 1 },
  { names: ['response_1', 'response_2'], base: 1 },
  { names: ['answer_1', 'answer_2'], base: 1 },
  { names: ['completion_1', 'completion_2'], base: 1 },
  { names: ['response1', 'response2'], base: 1 },
  { names: ['output_0', 'output_1'], base: 0 },
  { names: ['response_0', 'response_1'], base: 0 },
  { names: ['answer_0', 'answer_1'], base: 0 },
  { names: ['output_a', 'output_b'], base: null },
  { names: ['response_a', 'response_b'], base: null },
  { names: ['answer_a', 'answer_b'], base: null },
  { names: ['completion_a', 'completion_b'], base: null },
];

export const LABEL_NAMES: readonly string[] = [
  'label',
  'preference',
  'preferred',
  'winner',
  'better_response_id',
  'choice',
  'gold',
];

export interface LabelledColumns {
  first: string;
  second: string;
  label: string;
  /** What the first answer's number is; null where only letters and names count. */
  base: 0 | 1;
}

/** Labels by number may count from 0 or 1: the suffixes tell, or, with letters, whether a 2 or a 0 occurs. */
export function labelBase(base: 0 | 1 | null, labels: readonly unknown[]): 0 | 1 {
  const numbers = labels.map(Number);
  if (numbers.includes(0)) return 0;
  if (numbers.includes(2)) return 1;
  return base ?? 0;
}

function indexOf(label: unknown, columns: LabelledColumns): 0 | 1 | 'tie' | null {
  if (typeof label === 'string') {
    const text = label.trim().toLowerCase();
    if (text.startsWith('tie') || text === 'equal' || text === 'both') return 'tie';
    if (text === columns.first.toLowerCase()) return 0;
    if (text === columns.second.toLowerCase()) return 1;
    const letter = /^(?:model_?|response_?|output_?|answer_?)?([ab])$/.exec(text)?.[1];
    if (letter) return letter === 'a' ? 0 : 1;
    if (text === '' || Number.isNaN(Number(text))) return null;
  } else if (typeof label !== 'number' && typeof label !== 'bigint') return null;
  const number = Number(label);
  if (number === 0.5) return 'tie';
  const index = number - columns.base;
  return index === 0 || index === 1 ? index : null;
}

/** The record with `chosen` and `rejected` filled in. Throws `RowError` with `tie`, `wrong-type` or `missing-field`. */
export function readLabel(record: Fields, columns: LabelledColumns): Fields {
  const label = required(record, columns.label);
  const index = indexOf(label, columns);
  if (index === 'tie') throw new RowError('tie', 'Neither answer is preferred.');
  if (index === null) {
    const shown = typeof label === 'string' ? `"${label.slice(0, 40)}"` : typeName(label);
    throw new RowError('wrong-type', `The field "${columns.label}" (${shown}) does not name one of the two answers.`);
  }
  const answers = [fieldOf(record, columns.first), fieldOf(record, columns.second)];
  return { ...record, chosen: answers[index], rejected: answers[1 - index] };
}
