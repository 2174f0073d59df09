/** A data desk as the engine thread has it, with the rows and tokenizers of the fixtures. */
import { readFileSync } from 'node:fs';
import { PINNED_DATE } from '../../src/data/pinned-date';
import type { Tokenizer } from '../../src/data/tokenizer';
import { DEFAULT_HPARAMS, type HParams } from '../../src/train/hparams';
import { DataDesk } from '../../src/worker/data-desk';
import type {
  DataSettings,
  DataState,
  PromptChoice,
  ReadAmount,
  Role,
  Split,
  WorkerEvent,
} from '../../src/worker/protocol';
import { FIXTURES } from '../data/support';

export const ALL: ReadAmount = { kind: 'all' };
export const WHOLE: Split = { fraction: 0, by: 'prompt', seed: 42 };

export const fixtureFile = (path: string): File =>
  new File([readFileSync(new URL(path, FIXTURES))], path.split('/').at(-1)!);

export const jsonlFile = (name: string, rows: readonly unknown[]): File =>
  new File([rows.map((row) => `${JSON.stringify(row)}\n`).join('')], name);

export interface Desk {
  desk: DataDesk;
  events: WorkerEvent[];
  load(files: File[], more?: { role?: Role; amount?: ReadAmount; split?: Split }): Promise<DataState>;
}

export function openDesk(tokenizer: Tokenizer | null = null, hubUrl = 'http://127.0.0.1:9'): Desk {
  const events: WorkerEvent[] = [];
  const desk = new DataDesk({
    places: () => ({ dataUrl: 'http://127.0.0.1:9/data/', hubUrl }),
    model: () => tokenizer && { tokenizer, id: 'fixture' },
    emit: (event) => events.push(event),
  });
  return {
    desk,
    events,
    load: (files, { role = 'train', amount = ALL, split = WHOLE } = {}) =>
      desk.handlers.loadData({ role, source: { files }, amount, split }),
  };
}

export function settings(hparams: Partial<HParams> = {}, prompt: Partial<PromptChoice> = {}): DataSettings {
  return {
    hparams: { ...DEFAULT_HPARAMS, truncation: 'sane', ...hparams },
    prompt: { format: 'auto', system: '', date: PINNED_DATE, template: '', ...prompt },
  };
}

export const numbered = (count: number, more: object = {}) =>
  Array.from({ length: count }, (_, i) => ({
    prompt: `Question ${i}?\n`,
    chosen: `Yes, ${i}.`,
    rejected: `No, ${i}.`,
    ...more,
  }));

export async function textOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  return new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).text();
}
