/**
 * npm run -s eval -- --model DIR [--adapter DIR] --task FILE[:LIMIT] ... [--text FILE ...] [--out results.json]
 *                    [--num-fewshot N] [--seed N] [--max-length N] [--budget TOKENS] [--golden FILE-OR-FOLDER]
 *
 * Benchmarks by log-likelihood (and exact match) as lm-evaluation-harness counts them, preference files, and perplexity of
 * plain text; with --adapter each with and without it. A JSON line per task on standard output, progress on standard error.
 * --golden compares every item with recorded ones; a folder holds MODEL_TASK.json. Status 1 for a failure or a deviation,
 * 2 for wrong arguments.
 */
import { statSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { parsePreferenceData } from '../data/parse';
import { defaultPromptFormat } from '../data/render';
import { resolveTokenIds } from '../data/tokenize';
import { tokenizeSet } from '../data/tokenize-set';
import { loadTokenizer, type Tokenizer } from '../data/tokenizer';
import { metricRows } from '../eval/compare';
import { EvaluationError } from '../eval/errors';
import { evaluateTask, type TaskResult } from '../eval/evaluate';
import { withShots } from '../eval/few-shot';
import type { EvalTask } from '../eval/items';
import { type Perplexity, textPerplexity } from '../eval/perplexity';
import { pairTask } from '../eval/read/pairs';
import { readTask, taskName } from '../eval/read/task';
import { resultsJson } from '../eval/results';
import { stopTokens } from '../generate/stop-tokens';
import { openGpu } from '../gpu/device';
import { adapterOf } from '../inference/adapter';
import { loadModel } from '../model/load';
import { DEFAULT_HPARAMS } from '../train/hparams';
import { dawn } from './dawn';
import { compareGolden, GOLDEN_MAX_LENGTH, LOGPROB_LIMIT, passes } from './eval-golden';
import { folderFiles } from './node-files';

const USAGE =
  'eval: --model DIR [--adapter DIR] --task FILE[:LIMIT] ... [--text FILE ...] [--out results.json] ' +
  '[--num-fewshot N] [--seed N] [--max-length N] [--budget TOKENS] [--golden FILE-OR-FOLDER]';

const say = (text: string) => process.stderr.write(`${text}\n`);
const print = (record: object) => process.stdout.write(`${JSON.stringify(record)}\n`);

function whole(name: string, value: string | undefined, least: number): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!Number.isInteger(number) || number < least) {
    throw new RangeError(`--${name} must be a whole number of at least ${least}`);
  }
  return number;
}

function readArguments() {
  const many = { type: 'string', multiple: true, default: [] as string[] } as const;
  const one = { type: 'string' } as const;
  const options = { model: one, adapter: one, out: one, golden: one, task: many, text: many } as const;
  const numbers = { 'num-fewshot': one, seed: one, 'max-length': one, budget: one } as const;
  const { values } = parseArgs({ options: { ...options, ...numbers } });
  const { model, task, text } = values;
  if (!model || task.length + text.length === 0) throw new RangeError('--model and a --task or --text are needed');
  return {
    ...values,
    model,
    tasks: task.map((spec) => {
      const limit = /^(.+):(\d+)$/u.exec(spec);
      return limit ? { path: limit[1], limit: Number(limit[2]) } : { path: spec, limit: undefined };
    }),
    shots: whole('num-fewshot', values['num-fewshot'], 0) ?? 0,
    seed: whole('seed', values.seed, 0) ?? 1234,
    maxLength: whole('max-length', values['max-length'], 2),
    budget: whole('budget', values.budget, 1),
  };
}

type Source = Awaited<ReturnType<Awaited<ReturnType<typeof folderFiles>>['open']>>;

/** A benchmark's file; one that is none is read as preference pairs. */
async function openTask(path: string, limit: number | undefined, tokenizer: Tokenizer): Promise<EvalTask> {
  const open = async (): Promise<Source> => (await folderFiles(dirname(path))).open(basename(path));
  const name = taskName(path);
  try {
    return await readTask(await open(), { name, limit });
  } catch (error) {
    if (!(error instanceof EvaluationError) || error.code !== 'unknown-task') throw error;
    const parsed = await parsePreferenceData(await open(), { name: basename(path), limit }).catch(() => {
      throw error;
    });
    const settings = { format: defaultPromptFormat(tokenizer, parsed.rows) };
    const ids = resolveTokenIds(DEFAULT_HPARAMS, tokenizer);
    const set = await tokenizeSet(tokenizer, parsed.rows, DEFAULT_HPARAMS, ids, { render: { settings, tokenizer } });
    return pairTask(name, parsed.rows, set.pairs, set.sources, [...parsed.problems, ...set.problems]);
  }
}

/** The line of a task: the model as asked for, and with an adapter the base and the comparison beside it. */
function taskLine(result: TaskResult): object {
  const line: Record<string, unknown> = { task: result.name, n: result.items.length };
  for (const { metric, base, tuned, comparison } of metricRows(result)) {
    const { value, stderr } = tuned ?? base;
    line[metric] = value;
    line[`${metric}_stderr`] = stderr;
    if (!comparison) continue;
    line[`base_${metric}`] = base.value;
    line[`${metric}_ci95`] = comparison.interval;
    line[`${metric}_p`] = comparison.p;
  }
  return { ...line, cut: result.cut, problems: result.problems.length, seconds: result.seconds };
}

async function main(): Promise<number> {
  const args = readArguments();
  const files = await folderFiles(args.model);
  const tokenizer = await loadTokenizer(files);
  const gpu = await openGpu(await dawn());
  say(`GPU: ${gpu.info.vendor} ${gpu.info.architecture} ${gpu.info.description}${gpu.isSoftware ? ' (software)' : ''}`);
  const model = await loadModel(gpu, files);
  const adapter = args.adapter
    ? await adapterOf(await folderFiles(args.adapter), model.config, gpu.device.limits)
    : null;
  const stopIds = await stopTokens(files, tokenizer);
  const { shots, seed, budget, maxLength = args.golden ? GOLDEN_MAX_LENGTH : undefined } = args;
  const results: TaskResult[] = [];
  let failed = false;
  for (const { path, limit } of args.tasks) {
    const plain = await openTask(path, limit, tokenizer);
    for (const { line, message } of plain.problems) say(`${path}:${line}: ${message}`);
    const task = withShots(plain, shots, seed);
    let told = 0;
    const result = await evaluateTask(model, adapter, tokenizer, task, {
      ...{ stopIds, shots, seed, maxLength, budget },
      onProgress: ({ items, totalItems }) => {
        if (performance.now() - told < 2000) return;
        told = performance.now();
        say(`${task.name}: ${items} of ${totalItems}`);
      },
    });
    results.push(result);
    print(taskLine(result));
    if (!args.golden) continue;
    const folder = statSync(args.golden).isDirectory();
    const golden = folder ? `${args.golden}/${basename(args.model)}_${result.name}.json` : args.golden;
    const report = compareGolden(result, golden);
    failed ||= !passes(report);
    const { items, different, worst, acc, acc_norm } = report;
    say(
      `  ${basename(golden)}: ${items} items, ${different} with other texts or tokens; log-probabilities differ by at most ` +
        `${worst.toExponential(2)} nats (limit ${LOGPROB_LIMIT}); ${acc} and ${acc_norm} choices differ  ${passes(report) ? 'ok' : 'OUTSIDE'}`,
    );
  }
  const texts: Perplexity[] = [];
  for (const path of args.text) {
    const options = { name: basename(path), window: maxLength };
    const text = await textPerplexity(model, adapter, tokenizer, await readFile(path, 'utf8'), options);
    texts.push(text);
    print({ task: text.name, n: text.tokens, ...(text.tuned ?? text.base), ...(text.tuned && { base: text.base }) });
  }
  if (args.out) {
    const facts = {
      model: basename(args.model),
      adapter: args.adapter ? basename(args.adapter) : null,
      date: new Date(),
    };
    await writeFile(args.out, `${JSON.stringify(resultsJson(results, texts, facts), null, 2)}\n`);
  }
  return failed ? 1 : 0;
}

main().then(
  (status) => process.exit(status),
  (error: Error) => {
    const usage = error instanceof RangeError || error.message.startsWith('Unknown option');
    say(usage ? `${error.message}\n${USAGE}` : error.message);
    process.exit(usage ? 2 : 1);
  },
);
