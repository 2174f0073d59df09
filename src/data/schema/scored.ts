/** Several answers with scores or ranks: the best is taken against the worst. */
import { RowError } from '../errors';
import { type Fields, fieldOf, isFields, required, typeName } from './fields';

export const LIST_NAMES: readonly string[] = [
  'completions',
  'responses',
  'answers',
  'candidates',
  'outputs',
  'generations',
  'output',
];
export const SCORE_NAMES: readonly string[] = [
  'overall_score',
  'fine-grained_score',
  'score',
  'scores',
  'rating',
  'ratings',
  'reward',
  'rewards',
];
/** 1 is best. */
export const RANK_NAMES: readonly string[] = ['rank', 'ranks', 'ranking', 'rankings'];
export const TEXT_NAMES: readonly string[] = [
  'response',
  'text',
  'content',
  'completion',
  'answer',
  'output',
  'generation',
];

export interface ScoredColumns {
  answers: string;
  /** Field of the record (a list beside the answers), or of each answer; null: the order is the ranking, best first. */
  score: string | null;
  where: 'beside' | 'inside';
  lowerIsBetter: boolean;
  /** Field of each answer that holds its text; null when an answer is its text. */
  text: string | null;
}

/** How a record's list of answers is scored; null when it holds no such list. */
export function scoredColumns(record: Fields): ScoredColumns | null {
  for (const answers of LIST_NAMES) {
    const list = record[answers];
    if (!Array.isArray(list) || list.length < 2) continue;
    const [first] = list;
    const names = [...SCORE_NAMES, ...RANK_NAMES];
    if (isFields(first)) {
      const text = TEXT_NAMES.find((name) => typeof first[name] === 'string');
      const score = names.find((name) => Object.hasOwn(first, name));
      if (text && score) return { answers, score, where: 'inside', lowerIsBetter: RANK_NAMES.includes(score), text };
      if (!text) continue;
      const beside = names.find((name) => Array.isArray(record[name]));
      if (beside) return { answers, score: beside, where: 'beside', lowerIsBetter: RANK_NAMES.includes(beside), text };
    } else if (typeof first === 'string') {
      const score = names.find((name) => Array.isArray(record[name]));
      if (score) return { answers, score, where: 'beside', lowerIsBetter: RANK_NAMES.includes(score), text: null };
      if (answers === 'output' && list.length === 2) {
        return { answers, score: null, where: 'beside', lowerIsBetter: true, text: null };
      }
    }
  }
  return null;
}

function scoreOf(value: unknown, name: string): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number !== 'number' || Number.isNaN(number)) {
    throw new RowError('wrong-type', `"${name}" holds ${typeName(value)} where a score is needed.`);
  }
  return number;
}

/** The record with `chosen` and `rejected` filled in. Throws `RowError`. */
export function readScores(record: Fields, columns: ScoredColumns): Fields {
  const list = required(record, columns.answers);
  if (!Array.isArray(list)) {
    throw new RowError('wrong-type', `The field "${columns.answers}" holds ${typeName(list)} instead of a list.`);
  }
  if (list.length < 2) throw new RowError('missing-field', `"${columns.answers}" holds fewer than two answers.`);
  const beside = columns.where === 'beside' && columns.score !== null ? required(record, columns.score) : null;
  if (beside !== null && (!Array.isArray(beside) || beside.length !== list.length)) {
    throw new RowError('wrong-type', `"${columns.score}" and "${columns.answers}" are not lists of the same length.`);
  }
  const scored = list.map((answer: unknown, i) => {
    const inside = isFields(answer) && columns.score !== null ? fieldOf(answer, columns.score) : undefined;
    const value = columns.score === null ? i : columns.where === 'inside' ? inside : (beside as unknown[])[i];
    const text = columns.text === null ? answer : isFields(answer) ? answer[columns.text] : undefined;
    const score = scoreOf(value, columns.score ?? columns.answers);
    return { text, score: columns.lowerIsBetter ? -score : score };
  });
  const best = scored.reduce((a, b) => (b.score > a.score ? b : a));
  const worst = scored.reduce((a, b) => (b.score < a.score ? b : a));
  if (best.score === worst.score) throw new RowError('tie', 'All answers have the same score.');
  return { ...record, chosen: best.text, rejected: worst.text };
}
