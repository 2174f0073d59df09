import { describe, expect, it } from 'vitest';
import {
  formatBytes,
  formatChange,
  formatCount,
  formatDuration,
  formatMetric,
  formatParameters,
  formatPercent,
  formatRate,
  formatScientific,
  formatSetting,
  plural,
} from '../../src/app/lib/format';

describe('format', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [12_900_000, '12.9 MB'],
    [999_999_999, '1.0 GB'],
    [123_400_000_000, '123 GB'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it.each([
    [292_800, '293 K'],
    [15_191_712, '15.2 M'],
    [1_235_814_400, '1.24 B'],
    [900, '900'],
  ])('%d parameters are %s', (count, text) => expect(formatParameters(count)).toBe(text));

  it.each([
    [0, '0:00'],
    [14.2, '0:14'],
    [725, '12:05'],
    [10_930, '3:02:10'],
    [59.7, '1:00'],
  ])('%d seconds are %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text));

  it.each([
    [1.2138, '1.214'],
    [-0.0866, '−0.087'],
    [12.345, '12.35'],
    [123.45, '123.5'],
    [54321.6, '54,322'],
    [0.00012345, '1.23e-4'],
    [0, '0'],
    [Number.NaN, 'NaN'],
    [Number.NEGATIVE_INFINITY, '−∞'],
  ])('the metric %d is %s', (value, text) => expect(formatMetric(value)).toBe(text));

  it('writes changes with their sign', () => {
    expect(formatChange(0.071)).toBe('+0.071');
    expect(formatChange(-0.39)).toBe('−0.390');
    expect(formatChange(0)).toBe('0');
  });

  it('writes settings so that reading them back gives the same number', () => {
    for (const value of [8e-6, 3e-4, 1.25e-5, 0.1, 0.05, 1, 24, -1, 1e-8, 0.999, 0]) {
      expect(Number(formatSetting(value))).toBe(value);
    }
    expect(formatSetting(8e-6)).toBe('8e-6');
    expect(formatSetting(0.1)).toBe('0.1');
  });

  it('writes the rest', () => {
    expect(formatCount(-1234567)).toBe('−1,234,567');
    expect(plural(1, 'row')).toBe('1 row');
    expect(plural(1094, 'row')).toBe('1,094 rows');
    expect(formatPercent(0.7312)).toBe('73 %');
    expect(formatScientific(3e-4)).toBe('3e-4');
    expect(formatScientific(0)).toBe('0');
    expect(formatRate(5310.4)).toBe('5,310');
    expect(formatRate(41.23)).toBe('41.2');
    expect(formatRate(0.123)).toBe('0.12');
  });
});
