/** The data requests of the protocol, and what they share. */
import { DataError, RowError } from '../data/errors';
import { lengthHistogram } from '../data/lengths';
import { Preparer, preparedStream } from '../data/prepare';
import { renderRow } from '../data/render';
import { viewRow } from '../data/token-view';
import { resolveTokenIds } from '../data/tokenize';
import type { Tokenizer } from '../data/tokenizer';
import type { SourceRow } from '../data/types';
import { parseHParams } from '../train/parse-hparams';
import { type Found, findRepeats, findWarnings, promptsOnBothSides } from './check-rows';
import { openSource, type SourcePart, type SourcePlaces } from './data-source';
import { Dataset } from './dataset';
import { StateError } from './errors';
import { listHubDataset } from './hub-dataset';
import { excerpt, pageOf, searchRows } from './pair-list';
import { renderSettings } from './prompt-choice';
import type {
  DataCheck,
  DataMeasure,
  DataRequests,
  DataSettings,
  DataState,
  Finding,
  PairColumns,
  PairDetail,
  PairFilter,
  PairsPage,
  ReadAmount,
  Role,
  Split,
  WorkerEvent,
} from './protocol';
import { columnsMayHelp, fieldNames } from './read-source';
import { cancelled, SharedJob } from './shared-job';

export interface DeskHost {
  places(): SourcePlaces;
  /** The loaded model's, if any. */
  model(): { tokenizer: Tokenizer; id: string } | null;
  emit(event: WorkerEvent): void;
}

type Handlers = { [K in keyof DataRequests]: (args: DataRequests[K]['args']) => Promise<DataRequests[K]['result']> };

/** Milliseconds between two words on progress. */
const TELL_MS = 200;

export class DataDesk {
  readonly data = new Dataset();
  readonly #host: DeskHost;
  #reading: AbortController | null = null;
  /** A source whose fields were not recognised, for reading it with columns named by hand. */
  #unread: { role: Role; parts: SourcePart[]; amount: ReadAmount } | null = null;
  readonly #checks = new SharedJob<DataCheck>();
  readonly #searches = new SharedJob<number[]>();

  constructor(host: DeskHost) {
    this.#host = host;
  }

  readonly handlers: Handlers = {
    loadData: ({ role, source, amount, split }) =>
      this.#reads(async (signal) => {
        const parts = await openSource(source, this.#host.places(), signal);
        return this.#read(role, parts, amount, undefined, split, signal);
      }),
    mapColumns: ({ role, columns, split }) =>
      this.#reads((signal) => {
        const from = this.#unread?.role === role ? this.#unread : this.data.source(role);
        if (!from) throw new StateError('no-data', 'There is nothing to read. Choose a file first.');
        return this.#read(role, from.parts, from.amount, columns ?? undefined, split, signal);
      }),
    cancelRead: async () => {
      this.#reading?.abort();
      return null;
    },
    hubListing: ({ dataset, token }) => listHubDataset(this.#host.places().hubUrl, dataset, token),
    clearData: async ({ role, split }) => this.data.clear(role, split),
    splitData: async ({ split }) => this.data.setSplit(split),
    removeRows: async ({ kind, split }) => this.data.remove(kind, split),
    undoRemoval: async ({ split }) => this.data.undoRemoval(split),
    pairs: (args) => this.#page(args),
    pair: async ({ role, index, settings }) => this.#detail(role, index, settings),
    checkData: (settings) => this.#check(settings),
    measureData: (settings) => this.#measure(settings),
    cancelTokens: async () => {
      this.data.cancelTokens();
      this.#checks.cancel();
      return null;
    },
    prepared: async ({ role, settings }) => this.#prepared(role, settings),
  };

  /** A word on progress now and then. */
  progress(activity: 'tokenising' | 'checking'): (done: number, total: number) => void {
    let told = performance.now();
    return (done, total) => {
      if (done < total && performance.now() - told < TELL_MS) return;
      told = performance.now();
      this.#host.emit({ event: 'tokenProgress', activity, done, total });
    };
  }

  /** One read at a time: a new one ends the one under way. */
  async #reads(work: (signal: AbortSignal) => Promise<DataState>): Promise<DataState> {
    this.#reading?.abort();
    const abort = new AbortController();
    this.#reading = abort;
    try {
      return await work(abort.signal);
    } catch (error) {
      if (abort.signal.aborted) throw cancelled();
      throw error;
    } finally {
      if (this.#reading === abort) this.#reading = null;
    }
  }

  async #read(
    role: Role,
    parts: SourcePart[],
    amount: ReadAmount,
    columns: PairColumns | undefined,
    split: Split,
    signal: AbortSignal,
  ): Promise<DataState> {
    const { emit } = this.#host;
    try {
      const state = await this.data.read(
        role,
        parts,
        {
          amount,
          columns,
          signal,
          onProgress: (bytes, totalBytes) => emit({ event: 'dataProgress', bytes, totalBytes }),
          onPreview: ({ name, schema, fields, columns: seen, rows }) => {
            const pairs = rows.map(({ prompt, chosen, rejected }, index) => ({
              index,
              prompt: excerpt(prompt, ''),
              chosen: excerpt(chosen, ''),
              rejected: excerpt(rejected, ''),
            }));
            emit({ event: 'dataPreview', preview: { role, name, schema, fields, columns: seen, pairs } });
          },
        },
        split,
      );
      this.#unread = null;
      return state;
    } catch (error) {
      if (columnsMayHelp(error)) {
        this.#unread = { role, parts, amount };
        const fields = await fieldNames(parts[0]).catch(() => []);
        emit({ event: 'dataFields', role, name: parts[0].name, fields });
      }
      throw error;
    }
  }

  async #page({ role, offset, limit, query = '', filter }: DataRequests['pairs']['args']): Promise<PairsPage> {
    const rows = this.data.rows[role];
    let places: number[] | null = null;
    if (filter) {
      const wanted = this.data.found.get(filter);
      places = [];
      if (wanted) for (let i = 0; i < rows.length; i++) if (wanted.has(rows[i])) places.push(i);
    }
    if (query !== '') {
      const narrowed = places;
      const key = JSON.stringify([this.data.version, role, query, filter, narrowed?.length]);
      places = await this.#searches.get(key, (signal) => searchRows(rows, narrowed, query, signal));
    }
    return pageOf(rows, places, offset, limit, query);
  }

  #detail(role: Role, index: number, { hparams: given, prompt }: DataSettings): PairDetail {
    const rows = this.data.rows[role];
    const row: SourceRow | undefined = rows[index];
    if (!row) throw new StateError('no-data', 'There is no such pair any more.');
    const tokenizer = this.#host.model()?.tokenizer ?? null;
    const { hparams } = parseHParams(given);
    const detail: PairDetail = {
      index,
      line: row.line,
      prompt: row.prompt,
      chosen: row.chosen,
      rejected: row.rejected,
      chat: row.chat ?? null,
      rendered: null,
      tokens: null,
      problem: null,
    };
    try {
      detail.rendered = renderRow(row, renderSettings(prompt, tokenizer, this.data.rows.train), tokenizer);
      if (!tokenizer) return detail;
      detail.tokens = viewRow(tokenizer, detail.rendered, hparams, resolveTokenIds(hparams, tokenizer));
      detail.problem = detail.tokens.problem?.message ?? null;
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      detail.problem = error.message;
    }
    return detail;
  }

  #check({ hparams: given, prompt }: DataSettings): Promise<DataCheck> {
    const { data } = this;
    const model = this.#host.model();
    const tokenizer = model?.tokenizer ?? null;
    const { hparams } = parseHParams(given);
    const ids = resolveTokenIds(hparams, tokenizer);
    const key = JSON.stringify([data.version, model?.id, prompt, ids]);
    const { train, eval: held } = data.rows;
    const own = held.length > 0 && data.source('eval') !== null;
    return this.#checks.get(key, async (signal) => {
      const settings = renderSettings(prompt, tokenizer, train);
      const onProgress = this.progress('checking');
      const warnings = await findWarnings([...train, ...held], settings, tokenizer, ids, { signal, onProgress });
      const repeats = await findRepeats(data.fileRows('train'), signal);
      for (const { kind, rows } of [...warnings, ...repeats.found]) data.found.set(kind, rows);
      const { repeatedPrompts, rowsOfRepeatedPrompts } = repeats;
      const sides = [new Set(train), new Set(held)] as const;
      return {
        format: settings.format,
        // Without a model nothing is known of the tokens that are set or missing.
        warnings: warnings.filter(({ kind }) => tokenizer || kind !== 'no-eos').map((found) => finding(found, sides)),
        duplicates: repeats.found.map((found) => finding(found, own ? [sides[0], new Set()] : sides)),
        repeatedPrompts,
        rowsOfRepeatedPrompts,
        promptsOnBothSides: promptsOnBothSides(train, held),
      };
    });
  }

  async #measure({ hparams: given, prompt }: DataSettings): Promise<DataMeasure> {
    const model = this.#host.model();
    if (!model) throw new StateError('no-model', 'Load a model first: it brings the tokenizer.');
    if (this.data.isEmpty) throw new StateError('no-data', 'Load preference data first.');
    const { hparams } = parseHParams(given);
    const onProgress = this.progress('tokenising');
    const {
      train,
      eval: held,
      seconds,
    } = await this.data.sides(model.tokenizer, model.id, hparams, prompt, onProgress);
    const dropped = new Map<string, DataMeasure['dropped'][number]>();
    for (const { reason, message } of [...train.set.problems, ...held.set.problems]) {
      const entry = dropped.get(reason) ?? { reason, count: 0, message };
      entry.count += 1;
      dropped.set(reason, entry);
    }
    const tokens = train.set.tokens + held.set.tokens;
    return {
      train: lengthHistogram(train.set.lengths, hparams.max_length),
      eval: held.set.lengths.length > 0 ? lengthHistogram(held.set.lengths, hparams.max_length) : null,
      dropped: [...dropped.values()],
      tokens,
      tokensPerSecond: seconds > 0.05 ? tokens / seconds : null,
    };
  }

  #prepared(role: Role, { hparams: given, prompt }: DataSettings): DataRequests['prepared']['result'] {
    const rows = this.data.rows[role];
    if (rows.length === 0) throw new DataError('no-usable-rows', 'There are no pairs on this side.');
    const tokenizer = this.#host.model()?.tokenizer ?? null;
    const { hparams } = parseHParams(given);
    const render = renderSettings(prompt, tokenizer, this.data.rows.train);
    const fit = tokenizer ? { settings: hparams, ids: resolveTokenIds(hparams, tokenizer) } : undefined;
    const stream = preparedStream(rows, new Preparer({ render, tokenizer, fit }));
    const base = this.data.name.split(', ')[0].replace(/\.(jsonl?|ndjson|csv|tsv|parquet|txt)(\.gz)?$/i, '');
    const name = `${base.replaceAll(/[^\p{L}\p{N}._-]+/gu, '-')}.${role}.jsonl`;
    return { download: { name, mimeType: 'application/jsonl', stream } };
  }
}

function finding<Kind extends PairFilter>(
  { kind, message, rows }: Found<Kind>,
  [train, held]: readonly [ReadonlySet<SourceRow>, ReadonlySet<SourceRow>],
): Finding<Kind> {
  let inTrain = 0;
  let inEval = 0;
  for (const row of rows) {
    if (train.has(row)) inTrain += 1;
    else if (held.has(row)) inEval += 1;
  }
  return { kind, message, count: rows.size === 0 ? 1 : rows.size, train: inTrain, eval: inEval };
}
