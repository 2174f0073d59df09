/** The visitor's rows: what was read, how it is split, and its tokens under the settings of a run. */
import { type ParsedData, parsePreferenceData } from '../data/parse';
import { defaultPromptFormat, type RenderSettings } from '../data/render';
import { splitRows } from '../data/split';
import { resolveTokenIds } from '../data/tokenize';
import { type TokenizedSet, tokenizeSet } from '../data/tokenize-set';
import type { Tokenizer } from '../data/tokenizer';
import type { SourceRow } from '../data/types';
import type { HParams } from '../train/hparams';
import type { DataState, DataSummary, PairsPage } from './protocol';

type Role = 'train' | 'eval';

const SPLIT_SEED = 42;

/** What tokens depend on beside the rows. */
const tokenKey = (h: HParams) =>
  JSON.stringify([h.truncation, h.truncation_mode, h.max_length, h.max_prompt_length, h.bos_token_id, h.eos_token_id]);

export class Dataset {
  #train: ParsedData | null = null;
  #eval: ParsedData | null = null;
  #fraction = 0;
  #cache = new Map<string, TokenizedSet>();

  /** Reads a file for one side. The earlier data stays when this rejects. */
  async load(
    role: Role,
    file: Blob,
    name: string,
    fraction: number,
    onProgress: (bytes: number, totalBytes: number) => void,
  ): Promise<DataState> {
    const parsed = await parsePreferenceData(file.stream() as ReadableStream<Uint8Array>, {
      name,
      size: file.size,
      onProgress: (bytes) => onProgress(bytes, file.size),
    });
    if (role === 'train') this.#train = parsed;
    else this.#eval = parsed;
    return this.setFraction(fraction);
  }

  clear(role: Role, fraction: number): DataState {
    if (role === 'train') this.#train = null;
    else this.#eval = null;
    return this.setFraction(fraction);
  }

  setFraction(fraction: number): DataState {
    this.#fraction = fraction;
    this.#cache.clear();
    const { train, eval: evaluation } = this.rows;
    return {
      train: this.#train && summary(this.#train),
      eval: this.#eval && summary(this.#eval),
      trainPairs: train.length,
      evalPairs: evaluation.length,
    };
  }

  setFractionIfChanged(fraction: number): void {
    if (fraction !== this.#fraction) this.setFraction(fraction);
  }

  get isEmpty(): boolean {
    return !this.#train;
  }

  get name(): string {
    return this.#train?.name ?? '';
  }

  /** Rows of each side: a second file for evaluation, or a share of the first. */
  get rows(): { train: SourceRow[]; eval: SourceRow[] } {
    const train = this.#train?.rows ?? [];
    if (this.#eval) return { train, eval: this.#eval.rows };
    return splitRows(train, { fraction: this.#fraction, seed: SPLIT_SEED, by: 'prompt' });
  }

  page(role: Role, offset: number, limit: number): PairsPage {
    const rows = this.rows[role];
    const pairs = rows.slice(offset, offset + limit).map(({ prompt, chosen, rejected }, i) => ({
      index: offset + i,
      prompt,
      chosen,
      rejected,
    }));
    return { offset, total: rows.length, pairs };
  }

  /** Both sides as tokens. Kept until rows or the settings they depend on change. */
  async tokens(tokenizer: Tokenizer, modelId: string, hparams: HParams): Promise<Record<Role, TokenizedSet>> {
    const { train, eval: evaluation } = this.rows;
    const settings: RenderSettings = { format: defaultPromptFormat(tokenizer, train) };
    const ids = resolveTokenIds(hparams, tokenizer);
    const of = async (role: Role, rows: SourceRow[]) => {
      const key = `${role} ${modelId} ${tokenKey(hparams)}`;
      let set = this.#cache.get(key);
      if (!set) {
        set = await tokenizeSet(tokenizer, rows, hparams, ids, { render: { settings, tokenizer } });
        this.#cache.set(key, set);
      }
      return set;
    };
    return { train: await of('train', train), eval: await of('eval', evaluation) };
  }
}

function summary(parsed: ParsedData): DataSummary {
  return {
    name: parsed.name,
    schema: parsed.schema,
    rows: parsed.total,
    usable: parsed.usable,
    problemCounts: parsed.problemCounts,
    problems: parsed.problems,
  };
}
