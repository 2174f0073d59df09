/** Numbers as the page writes them, against those of the log. */
import { expect } from 'vitest';

/** A number as the page writes it, and half of its last digit. */
function readNumber(shown: string): { value: number; within: number } {
  const plain = shown.replace('−', '-').replace(',', '');
  const percent = plain.endsWith('%');
  const [, digits, exponent] = /^[+-]?\d+(?:\.(\d+))?(?:e([+-]?\d+))?/.exec(plain)!;
  const unit = 10 ** (Number(exponent ?? 0) - (digits?.length ?? 0));
  const scale = percent ? 0.01 : 1;
  return { value: Number.parseFloat(plain) * scale, within: 0.5001 * unit * scale };
}

export function expectShown(shown: string, value: number, what: string): void {
  const { value: read, within } = readNumber(shown);
  expect(Math.abs(read - value), `${what}: the page says ${shown}, the log ${value}`).toBeLessThanOrEqual(within);
}
