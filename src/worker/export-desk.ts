/** The exports' requests: one export at a time, which can be cancelled until its last byte is taken. */
import { ExportError } from '../export/errors';
import { StateError } from './errors';
import { type ExportSubject, exportRun, exportSize } from './export-run';
import type { ExportRequests, WorkerEvent } from './protocol';

export interface ExportDeskHost {
  /** The run to write out, with its model; null when there is none. */
  subject(): ExportSubject | null;
  emit(event: WorkerEvent): void;
  /** Address of the Hub, without a slash at the end. */
  hubUrl(): string;
}

type Handlers = {
  [K in keyof ExportRequests]: (args: ExportRequests[K]['args']) => Promise<ExportRequests[K]['result']>;
};

/** At most so many progress events a second. */
const EVENTS_A_SECOND = 10;

export class ExportDesk {
  readonly #host: ExportDeskHost;
  #abort: AbortController | null = null;

  constructor(host: ExportDeskHost) {
    this.#host = host;
  }

  readonly handlers: Handlers = {
    export: async (options) => {
      const subject = this.#subject();
      if (this.#abort) throw new StateError('busy', 'An export is going on. Wait for its end, or cancel it.');
      const abort = new AbortController();
      this.#abort = abort;
      const end = () => {
        if (this.#abort === abort) this.#abort = null;
      };
      try {
        const context = { onProgress: this.#progress(), signal: abort.signal, hubUrl: this.#host.hubUrl() };
        const work = await exportRun(options, subject, context);
        work.done.then(end, end);
        return work.result;
      } catch (error) {
        end();
        throw error;
      }
    },
    exportSize: async (form) => exportSize(form, this.#subject()),
    cancelExport: async () => {
      this.#abort?.abort(new ExportError('export-cancelled', 'The export was cancelled; nothing of it is left.'));
      return {};
    },
  };

  #subject(): ExportSubject {
    const subject = this.#host.subject();
    if (subject) return subject;
    throw new StateError('nothing-to-export', 'There is no trained adapter yet. Train at least one step first.');
  }

  /** The last event of an export is never left out. */
  #progress() {
    let last = 0;
    return (progress: Extract<WorkerEvent, { event: 'exportProgress' }>['progress']) => {
      const now = performance.now();
      if (now - last < 1000 / EVENTS_A_SECOND && progress.bytes < progress.totalBytes) return;
      last = now;
      this.#host.emit({ event: 'exportProgress', progress });
    };
  }
}
