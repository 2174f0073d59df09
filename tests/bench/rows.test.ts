/** The rows of the benchmark's comparison: what each variant computes, counted by the packing that training uses. */
import { expect, test } from 'vitest';
import { paddedTokens, withAllRows, withPadding, withPromptTwice } from '../../src/bench/rows';
import { straightLine } from '../../src/bench/sections/scaling';
import { pairShape } from '../../src/data/packing';
import type { TokenizedPair } from '../../src/data/types';
import { pairOf } from '../support/pairs';

const pair = (prompt: number[], chosen: number[], rejected: number[]) =>
  pairOf(prompt.length, [...prompt, ...chosen], [...prompt, ...rejected]);

const PAIRS = [pair([1, 2, 3], [4, 5], [6]), pair([1, 7], [8], [9, 10, 11, 12])];
const sum = (pairs: readonly TokenizedPair[], key: 'tokens' | 'rows') =>
  pairs.reduce((total, p) => total + pairShape(p, true, 16)[key], 0);

test('each saving of the layout is taken away by itself', () => {
  expect(paddedTokens(PAIRS, 2)).toBe(4 * 6);
  const once = { tokens: sum(PAIRS, 'tokens'), rows: sum(PAIRS, 'rows') };
  expect(once).toEqual({ tokens: 6 + 7, rows: 4 + 5 });

  const twice = PAIRS.map(withPromptTwice);
  expect(sum(twice, 'tokens')).toBe(5 + 4 + 3 + 6);
  // Chosen: all but the last; rejected: those that predict an answer's token.
  expect(sum(twice, 'rows')).toBe(4 + 1 + 2 + 4);

  const every = twice.map(withAllRows);
  expect(sum(every, 'rows')).toBe(4 + 3 + 2 + 5);

  const padded = withPadding(every, 2).map(withAllRows);
  expect(sum(padded, 'tokens')).toBe(paddedTokens(PAIRS, 2));
  expect(sum(padded, 'rows')).toBe(4 * 5);
});

test('a straight line is found again, and what does not lie on one is told', () => {
  const line = straightLine([1, 2, 4, 8], [5, 7, 11, 19]);
  expect(line.fixed).toBeCloseTo(3);
  expect(line.slope).toBeCloseTo(2);
  expect(line.worst).toBeLessThan(1e-9);
  expect(straightLine([1, 2, 4, 8], [1, 4, 16, 64]).worst).toBeGreaterThan(0.3);
});
