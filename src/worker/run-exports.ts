/** A kept run in the forms that other tools read. */
import { logCsv } from '../export/log';
import { writeRunCard } from '../runs/run-card';
import { eventFile, eventFileName } from '../runs/tensorboard';
import { trainerState } from '../runs/trainer-state';
import type { ExportResult, KeptRecord, RunCurves, RunForm } from './protocol';

const download = (name: string, mimeType: string, parts: BlobPart[]): ExportResult => {
  const blob = new Blob(parts);
  const stream = blob.stream() as ReadableStream<Uint8Array>;
  return { files: [{ name, bytes: blob.size }], download: { name, mimeType, stream } };
};

/** A name for files from what the visitor calls the run. */
const fileBase = ({ name }: KeptRecord): string =>
  name
    .normalize('NFKD')
    .replace(/[^\w.-]+/gu, '-')
    .replace(/^-+|-+$/gu, '')
    .slice(0, 60) || 'run';

export function exportedRun(form: Exclude<RunForm, 'checkpoint'>, record: KeptRecord, curves: RunCurves): ExportResult {
  const base = fileBase(record);
  switch (form) {
    case 'card':
      return download(`${base}.run.json`, 'application/json', [writeRunCard(record)]);
    case 'csv':
      return download(`${base}.csv`, 'text/csv', [logCsv(curves)]);
    case 'trainer-state':
      return download('trainer_state.json', 'application/json', [trainerState(record, curves.steps, curves.evals)]);
    case 'tensorboard': {
      const began = record.createdAt / 1000;
      const parts = eventFile({ ...curves, began, seconds: record.seconds });
      return download(eventFileName(began), 'application/octet-stream', parts);
    }
  }
}
