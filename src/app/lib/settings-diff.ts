/** What runs do not have in common, in words. */
import type { RunSummary } from '../../worker/protocol';

type KeptRecord = RunSummary['record'];

const told = (value: unknown): string =>
  value === undefined ? '–' : typeof value === 'string' ? value : JSON.stringify(value);

/** One row for each setting whose values are not all the same, `values` in the order of the records. */
export function differences(records: readonly KeptRecord[]): { name: string; values: string[] }[] {
  const flat = records.map(({ model, data, settings, device }): Record<string, unknown> => {
    const { hparams, ...rest } = settings;
    return { model: model.id, data: data.name, pairs: data.fingerprint.slice(0, 12), ...rest, ...hparams, device };
  });
  const names = [...new Set(flat.flatMap((one) => Object.keys(one)))];
  return names
    .map((name) => ({ name, values: flat.map((one) => told(one[name])) }))
    .filter(({ values }) => values.some((value) => value !== values[0]));
}
