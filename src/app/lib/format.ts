/** Numbers, sizes and times as people read them. All pure. */

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const minus = (text: string) => text.replace(/^-/, '−');

/** 12345 -> "12,345". */
export const formatCount = (value: number): string => minus(grouped.format(value));

/** "1 row", "2 rows". */
export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${formatCount(count)} ${count === 1 ? one : many}`;

/** Decimal units, as browsers show downloads: 1 MB is 1,000,000 bytes. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** 15_191_712 -> "15.2 M". */
export function formatParameters(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(count >= 1e10 ? 1 : 2)} B`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(1)} M`;
  if (count >= 1e4) return `${(count / 1e3).toFixed(0)} K`;
  return formatCount(count);
}

/** Seconds as "0:14", "12:05", "3:02:10". */
export function formatDuration(seconds: number): string {
  const total = Math.max(0, Math.round(seconds));
  const s = String(total % 60).padStart(2, '0');
  const minutes = Math.floor(total / 60);
  if (minutes < 60) return `${minutes}:${s}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}:${s}`;
}

/** A rate such as tokens per second: two significant digits below ten, grouped integers above. */
export function formatRate(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value >= 100) return formatCount(value);
  return value >= 10 ? value.toFixed(1) : value.toPrecision(2);
}

/** A training metric: four significant figures at most, no more decimals than can be read. */
export function formatMetric(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 1000) return formatCount(value);
  if (size >= 100) return minus(value.toFixed(1));
  if (size >= 10) return minus(value.toFixed(2));
  if (size >= 0.0095) return minus(value.toFixed(3));
  return minus(formatScientific(value));
}

/** 0.0003 -> "3e-4", 0.00012345 -> "1.23e-4". */
export function formatScientific(value: number): string {
  if (value === 0) return '0';
  return value
    .toExponential(2)
    .replace(/\.?0+e/, 'e')
    .replace('e+', 'e');
}

/** A change with its sign: "+0.071", "−0.390". */
export function formatChange(value: number): string {
  const text = formatMetric(value);
  return value > 0 ? `+${text}` : text;
}

/** 0.7312 -> "73 %". */
export const formatPercent = (value: number, digits = 0): string => `${(value * 100).toFixed(digits)} %`;

/** A setting's value as a person would type it: 8e-6 stays "8e-6", 0.1 stays "0.1". */
export function formatSetting(value: number): string {
  const plain = String(value);
  if (value !== 0 && Math.abs(value) <= 1e-3) return formatShortest(value);
  return plain;
}

function formatShortest(value: number): string {
  const [mantissa, exponent] = value.toExponential().split('e');
  return `${mantissa}e${Number(exponent)}`;
}
