/**
 * Any preference file to plain JSON lines that TRL and the `train` command read:
 *
 *   prepare --data FILE [--data FILE ...] [--model DIR] [--schema AUTO] [--prompt-format NAME] [--config HPARAMS.json]
 *           --out ROWS.jsonl
 *
 * Prints one JSON line about what was read. Exit status 2, with the reason, where a file holds no pairs.
 */
import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { DataError } from '../data/errors';
import { type ParsedData, parsePreferenceData } from '../data/parse';
import { Preparer } from '../data/prepare';
import { PROMPT_FORMATS, type PromptFormat } from '../data/prompt-formats';
import { defaultPromptFormat, type RenderSettings } from '../data/render';
import type { PairColumns } from '../data/schema/pair-reader';
import { resolveTokenIds } from '../data/tokenize';
import { loadTokenizer } from '../data/tokenizer';
import type { RowProblem, SourceRow } from '../data/types';
import { DEFAULT_HPARAMS, type HParams } from '../train/hparams';
import { folderFiles, modelFolder } from './node-files';

const USAGE = `usage: npm run -s prepare -- --data FILE [--data FILE ...] --out ROWS.jsonl
  --model DIR            model folder; its chat template and tokenizer are used
  --schema AUTO          or the fields by name: prompt=q,chosen=good,rejected=bad[,input=...][,system=...]
  --prompt-format NAME   auto, ${PROMPT_FORMATS.join(', ')}
  --chatml reserved|add  give the model ChatML's tokens, as setup_chat_format does
  --template FILE        Jinja template for the format custom
  --system TEXT          system turn for conversations without one
  --date YYYY-MM-DD      date for templates that write one
  --config HPARAMS.json  leave out rows that max_length and the truncation mode leave no answer of
  --limit N              stop after N usable rows of each file
  --drop-duplicates      leave out rows that repeat an earlier one
`;

/** The command line cannot be carried out. */
class UsageError extends Error {}

function options() {
  try {
    return parseArgs({
      options: {
        data: { type: 'string', multiple: true },
        out: { type: 'string' },
        model: { type: 'string' },
        schema: { type: 'string', default: 'AUTO' },
        'prompt-format': { type: 'string', default: 'auto' },
        template: { type: 'string' },
        chatml: { type: 'string' },
        system: { type: 'string' },
        date: { type: 'string' },
        config: { type: 'string' },
        limit: { type: 'string' },
        'drop-duplicates': { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function parseColumns(text: string): PairColumns | undefined {
  if (text.toUpperCase() === 'AUTO') return undefined;
  const columns: Record<string, string> = {};
  for (const part of text.split(',')) {
    const at = part.indexOf('=');
    const name = part.slice(0, at).trim();
    if (at < 1 || !['prompt', 'input', 'system', 'chosen', 'rejected'].includes(name)) {
      throw new UsageError(`--schema takes AUTO or prompt=FIELD,chosen=FIELD,rejected=FIELD; "${part}" is neither.`);
    }
    columns[name] = part.slice(at + 1).trim();
  }
  if (!columns.chosen || !columns.rejected) throw new UsageError('--schema must name the fields chosen and rejected.');
  return columns as unknown as PairColumns;
}

function parseFormat(name: string): PromptFormat | undefined {
  const lower = name.toLowerCase();
  if (lower === 'auto') return undefined;
  const aliases: Record<string, PromptFormat> = {
    model: 'chat-template',
    template: 'chat-template',
    llama3: 'llama-3',
    none: 'as-is',
  };
  const format = aliases[lower] ?? PROMPT_FORMATS.find((known) => known === lower);
  if (!format) throw new UsageError(`--prompt-format is one of auto, ${PROMPT_FORMATS.join(', ')}.`);
  return format;
}

/** Rows looked at before a prompt format is chosen. */
const FIRST = 100;

async function main(): Promise<void> {
  const args = options();
  if (args.help) {
    process.stdout.write(USAGE);
    return;
  }
  if (!args.data?.length || !args.out) throw new UsageError('--data and --out are needed.');
  const columns = parseColumns(args.schema);
  const wanted = parseFormat(args['prompt-format']);
  const limit = args.limit === undefined ? undefined : Number(args.limit);
  if (limit !== undefined && !(Number.isInteger(limit) && limit > 0))
    throw new UsageError('--limit is a number of rows.');
  if (wanted === 'chat-template' && !args.model) throw new UsageError('--prompt-format chat-template needs --model.');
  if (wanted === 'custom' && !args.template) throw new UsageError('--prompt-format custom needs --template.');
  if (args.config && !args.model) throw new UsageError('--config needs --model.');
  const tokenizer = args.model ? await loadTokenizer(await modelFolder(args.model, args.chatml)) : null;
  const hparams: HParams | null = args.config
    ? { ...DEFAULT_HPARAMS, ...(JSON.parse(await readFile(args.config, 'utf8')) as Partial<HParams>) }
    : null;
  const template = args.template ? await readFile(args.template, 'utf8') : undefined;

  // Written beside its place and put there at the end, so that a failure leaves no half file.
  const partial = `${args.out}.partial`;
  const file = openSync(partial, 'w');
  let preparer: Preparer | null = null;
  const first: SourceRow[] = [];
  let buffer = '';
  let format: PromptFormat | undefined = wanted;
  const flush = () => {
    const bytes = Buffer.from(buffer);
    for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
    buffer = '';
  };
  const write = (row: SourceRow) => {
    buffer += preparer?.line(row) ?? '';
    if (buffer.length > 1 << 20) flush();
  };
  const begin = () => {
    format ??= defaultPromptFormat(tokenizer, first);
    const render: RenderSettings = { format, system: args.system, date: args.date, template };
    const fit = hparams && tokenizer ? { settings: hparams, ids: resolveTokenIds(hparams, tokenizer) } : undefined;
    preparer = new Preparer({ render, tokenizer, fit, dropDuplicates: args['drop-duplicates'] });
    first.splice(0).forEach(write);
  };
  const onRow = (row: SourceRow) => {
    if (preparer) write(row);
    else if (first.push(row) >= FIRST) begin();
  };
  try {
    const parsed: ParsedData[] = [];
    for (const path of args.data) parsed.push(await readOne(path, { columns, limit, onRow }));
    if (!preparer) begin();
    flush();
    report(parsed, preparer as unknown as Preparer, format as PromptFormat);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
  renameSync(partial, args.out);
}

async function readOne(
  path: string,
  more: Pick<Parameters<typeof parsePreferenceData>[1], 'columns' | 'limit' | 'onRow'>,
): Promise<ParsedData> {
  const source = await (await folderFiles(dirname(path))).open(basename(path));
  let shown = performance.now();
  return parsePreferenceData(source, {
    name: basename(path),
    size: source.size,
    ...more,
    onProgress: (bytes) => {
      if (performance.now() - shown < 1000) return;
      shown = performance.now();
      process.stderr.write(`${basename(path)}: ${Math.round((100 * bytes) / source.size)} %\n`);
    },
  });
}

function report(parsed: ParsedData[], preparer: Preparer, format: PromptFormat): void {
  const reasons = new Map<RowProblem['reason'], number>(preparer.problems);
  for (const { problemCounts } of parsed) {
    for (const { reason, count } of problemCounts) reasons.set(reason, (reasons.get(reason) ?? 0) + count);
  }
  for (const { name, unit, problems } of parsed) {
    for (const { line, reason, message } of problems.slice(0, 20)) {
      process.stderr.write(`${name}, ${unit} ${line}: ${reason}: ${message}\n`);
    }
  }
  if (preparer.pairs === 0) {
    const all = [...reasons].map(([reason, count]) => `${reason} ${count}`).join(', ');
    throw new DataError('no-usable-rows', `No pair is left: ${all}.`);
  }
  const summary = {
    schema: [...new Set(parsed.map((one) => one.schema))].join('; '),
    format: [...new Set(parsed.map((one) => one.format))].join(', '),
    prompt_format: format,
    rows: parsed.reduce((sum, one) => sum + one.total, 0),
    pairs: preparer.pairs,
    truncated: preparer.truncated,
    duplicates: preparer.duplicates,
    problems: Object.fromEntries(reasons),
  };
  process.stdout.write(`${JSON.stringify(summary)}\n`);
}

try {
  await main();
} catch (error) {
  if (error instanceof DataError) {
    process.stderr.write(`${error.code}: ${error.message}\n`);
    process.exitCode = 2;
  } else if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\n${USAGE}`);
    process.exitCode = 1;
  } else {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
