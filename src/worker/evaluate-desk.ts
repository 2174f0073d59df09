/** The evaluation's requests: one at a time, task by task, with the base model beside the last run's adapter. */
import type { Tokenizer } from '../data/tokenizer';
import { metricRows } from '../eval/compare';
import { EvalControl } from '../eval/control';
import { EvaluationError } from '../eval/errors';
import { evaluateTask, type TaskResult } from '../eval/evaluate';
import { withShots } from '../eval/few-shot';
import type { EvalTask } from '../eval/items';
import { type Perplexity, textPerplexity } from '../eval/perplexity';
import { pairTask } from '../eval/read/pairs';
import { readTask } from '../eval/read/task';
import { itemsCsv, resultsJson, tableCsv } from '../eval/results';
import { stopTokens } from '../generate/stop-tokens';
import type { AdapterSource } from '../inference/session';
import type { OpenModel } from '../model/load';
import { parseHParams } from '../train/parse-hparams';
import { openSource, type SourcePlaces } from './data-source';
import type { Dataset } from './dataset';
import { StateError } from './errors';
import { itemsPage } from './evaluate-items';
import type { GpuTurn } from './gpu-turn';
import type { DataOffer, ModelSummary, WorkerEvent } from './protocol';
import type { EvaluateOrder, EvaluateProgress, EvaluateRequests, EvaluateTask, TaskReport } from './protocol-evaluate';
import type { FinishedRun } from './run';

export interface EvaluateHost {
  places(): SourcePlaces;
  /** @throws StateError `no-model` */
  model(): { open: OpenModel; tokenizer: Tokenizer; summary: ModelSummary };
  /** Names the tokenizer, as the data's tokens are kept by it. */
  tokenizerId(): string;
  data(): Dataset;
  finished(): FinishedRun | null;
  turn: GpuTurn;
  emit(event: WorkerEvent): void;
}

type Handlers = {
  [K in keyof EvaluateRequests]: (args: EvaluateRequests[K]['args']) => Promise<EvaluateRequests[K]['result']>;
};

/** Milliseconds between two words on progress. */
const TELL_MS = 150;

interface Done {
  report: TaskReport;
  result: TaskResult | null;
}

export class EvaluateDesk {
  readonly #host: EvaluateHost;
  #control: EvalControl | null = null;
  #done: Done[] = [];
  #about = { model: '', adapter: null as string | null, date: new Date() };

  constructor(host: EvaluateHost) {
    this.#host = host;
  }

  readonly handlers: Handlers = {
    benchmarks: async () => {
      const response = await fetch(`${this.#host.places().dataUrl}benchmarks/index.json`);
      return response.ok ? ((await response.json()) as DataOffer[]) : [];
    },
    evaluate: (order) => this.#host.turn.take('evaluation', () => this.#evaluate(order)),
    steerEvaluation: async ({ how }) => {
      this.#control?.[how]();
      return null;
    },
    evaluatedItems: async (args) => {
      const { result } = this.#find(args.id);
      return result ? itemsPage(result, args) : { total: 0, items: [] };
    },
    evaluationFile: async ({ form, id }) => {
      if (this.#done.length === 0) throw new StateError('no-data', 'Nothing was evaluated yet.');
      const tasks = this.#done.flatMap(({ result }) => result ?? []);
      const texts = this.#done.flatMap(({ report }) => report.text ?? []);
      if (form === 'json') {
        const text = `${JSON.stringify(resultsJson(tasks, texts, this.#about), null, 2)}\n`;
        return { name: 'results.json', mimeType: 'application/json', text };
      }
      if (form === 'csv') return { name: 'results.csv', mimeType: 'text/csv', text: tableCsv(tasks, texts) };
      const { result, report } = this.#find(id ?? '');
      const text = result ? itemsCsv(result) : '';
      return { name: `${report.title.replace(/[^\w.-]+/gu, '_')}-items.csv`, mimeType: 'text/csv', text };
    },
  };

  #find(id: string): Done {
    const done = this.#done.find(({ report }) => report.id === id);
    if (!done) throw new StateError('no-data', 'This task was not evaluated. Evaluate it first.');
    return done;
  }

  async #evaluate(order: EvaluateOrder): Promise<TaskReport[]> {
    const { summary } = this.#host.model();
    const control = new EvalControl();
    this.#control = control;
    this.#done = [];
    this.#about = { model: summary.id, adapter: this.#host.finished()?.dataName ?? null, date: new Date() };
    try {
      for (const [i, task] of order.tasks.entries()) {
        const tell = this.#progress(task.title, i + 1, order.tasks.length);
        tell({ done: 0, items: 0, totalItems: 0 });
        const done = await this.#task(task, order, control, tell);
        this.#done.push(done);
        this.#host.emit({ event: 'evaluated', report: done.report });
      }
      return this.#done.map(({ report }) => report);
    } finally {
      this.#control = null;
    }
  }

  get #adapter(): AdapterSource | null {
    const run = this.#host.finished();
    return run && { layout: run.plan.lora, tensors: run.adapter };
  }

  async #task(task: EvaluateTask, order: EvaluateOrder, control: EvalControl, tell: Tell): Promise<Done> {
    const { open, tokenizer } = this.#host.model();
    if (task.kind === 'text') {
      const text = await this.#text(task);
      const perplexity = await textPerplexity(open, this.#adapter, tokenizer, text, {
        name: task.title,
        control,
        onProgress: (done) => tell({ done, items: 0, totalItems: 0 }),
      });
      return { report: textReport(task, perplexity), result: null };
    }
    const plain = task.kind === 'heldOut' ? await this.#heldOut(task, order) : await this.#benchmark(task, order);
    const shots = plain.items[0].kind === 'pair' ? 0 : order.shots;
    const result = await evaluateTask(open, this.#adapter, tokenizer, withShots(plain, shots, order.seed), {
      stopIds: await stopTokens(open.checkpoint.files, tokenizer),
      shots,
      seed: order.seed,
      control,
      onProgress: tell,
    });
    return { report: taskReport(task, result), result };
  }

  async #text({ source, title }: EvaluateTask): Promise<string> {
    const [part] = await openSource(source!, this.#host.places(), new AbortController().signal);
    const input = part.open();
    const bytes = 'read' in input ? await input.read(0, input.size) : await new Response(input).arrayBuffer();
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
      throw new EvaluationError('no-text', `${title} is not UTF-8 text. Save it as UTF-8 and choose it again.`);
    }
  }

  async #benchmark({ source, title }: EvaluateTask, { limit }: EvaluateOrder): Promise<EvalTask> {
    const parts = await openSource(source!, this.#host.places(), new AbortController().signal);
    const read: EvalTask[] = [];
    for (const part of parts) {
      const left = limit === null ? undefined : limit - read.reduce((sum, { items }) => sum + items.length, 0);
      if (left !== undefined && left <= 0) break;
      read.push(await readTask(part.open(), { name: title, limit: left }));
    }
    const [first] = read;
    if (!first) throw new EvaluationError('no-items', `${title} holds no file.`);
    return { ...first, items: read.flatMap(({ items }) => items), problems: read.flatMap(({ problems }) => problems) };
  }

  async #heldOut({ title }: EvaluateTask, { settings, limit }: EvaluateOrder): Promise<EvalTask> {
    const data = this.#host.data();
    const { tokenizer } = this.#host.model();
    const { hparams } = parseHParams(settings.hparams);
    data.setSplit({ fraction: settings.evalFraction, by: settings.splitBy ?? 'prompt', seed: hparams.seed });
    const { eval: set } = await data.tokens(tokenizer, this.#host.tokenizerId(), hparams, settings.prompt);
    const most = limit ?? set.pairs.length;
    const task = pairTask(title, data.rows.eval, set.pairs.slice(0, most), set.sources, set.problems);
    if (task.items.length === 0) {
      throw new EvaluationError('no-items', 'No pairs are held out. Hold a share of them out on the Data step.');
    }
    return task;
  }

  #progress(title: string, number: number, count: number): Tell {
    const started = performance.now();
    let told = Number.NEGATIVE_INFINITY;
    return ({ done, items, totalItems }) => {
      const now = performance.now();
      if (done < 1 && now - told < TELL_MS) return;
      told = now;
      const seconds = (now - started) / 1000;
      const secondsLeft = done > 0.02 ? (seconds / done) * (1 - done) : null;
      const paused = this.#control?.paused ?? false;
      const progress: EvaluateProgress = { title, number, count, done, items, totalItems, secondsLeft, paused };
      this.#host.emit({ event: 'evaluating', progress });
    };
  }
}

type Tell = (progress: Pick<EvaluateProgress, 'done' | 'items' | 'totalItems'>) => void;

function taskReport({ id, title }: EvaluateTask, result: TaskResult): TaskReport {
  const { format, shots, seconds, cut, problems } = result;
  const [first] = problems;
  const unused = first ? { count: problems.length, first: `Row ${first.line}: ${first.message}` } : null;
  return { id, title, format, shots, seconds, cut, unused, rows: metricRows(result), text: null };
}

const textReport = ({ id, title }: EvaluateTask, text: Perplexity): TaskReport => ({
  ...{ id, title, format: 'plain text', shots: 0, seconds: 0, cut: 0, unused: null },
  ...{ rows: [], text },
});
