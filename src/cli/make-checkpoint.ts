/**
 * npm run -s make-checkpoint -- --config NAME|FILE --format bf16|bnb-4bit --out DIR
 *                               [--seed N] [--shard-bytes N] [--tokenizer DIR]
 *
 * A model folder in the shape and format of a published one, with random weights: for measuring how real sizes load,
 * train and export where the weights themselves cannot be had. Prints one JSON line about what was written; progress on
 * standard error. Status 1 for a failure, 2 for wrong arguments. Nothing is fetched.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { KNOWN_CONFIGS } from '../model/known-configs';
import { knownConfig } from './checkpoint/configs';
import type { CheckpointFormat } from './checkpoint/tensors';
import { builtInTokenizer } from './checkpoint/tokenizer-files';
import { writeCheckpoint } from './checkpoint/write';
import { FolderSink } from './folder-sink';
import { folderFiles } from './node-files';

const USAGE = `usage: npm run -s make-checkpoint -- --config NAME|FILE --format bf16|bnb-4bit --out DIR
  --config NAME|FILE   ${KNOWN_CONFIGS.map(({ id }) => id).join(', ')}, or the path of a config.json
  --format FORMAT      bf16, or bnb-4bit (linear layers in NF4 with double quantisation, as bitsandbytes stores them)
  --out DIR            folder to write; made when it does not exist
  --seed N             another seed gives other weights; 0 by default
  --shard-bytes N      bytes of tensors in a file; 5000000000 by default, as transformers
  --tokenizer DIR      model folder whose tokenizer is copied; by default that of the built-in chat model
`;

/** The command line cannot be carried out. */
class UsageError extends Error {}

function readArguments() {
  let values: Record<string, string | undefined>;
  try {
    const text = { type: 'string' } as const;
    const options = { config: text, format: text, out: text, seed: text, 'shard-bytes': text, tokenizer: text };
    ({ values } = parseArgs({ options }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { config, format, out, seed = '0', 'shard-bytes': shardBytes = '5e9', tokenizer } = values;
  if (!config || !format || !out) throw new UsageError('--config, --format and --out are needed');
  if (format !== 'bf16' && format !== 'bnb-4bit') throw new UsageError('--format is bf16 or bnb-4bit');
  const whole = (name: string, value: string, least: number): number => {
    const n = Number(value);
    if (!Number.isSafeInteger(n) || n < least) throw new UsageError(`--${name} must be a whole number from ${least}`);
    return n;
  };
  return {
    config,
    format: format as CheckpointFormat,
    out,
    seed: whole('seed', seed, 0),
    shardBytes: whole('shard-bytes', shardBytes, 1),
    tokenizer,
  };
}

async function readConfig(name: string): Promise<Record<string, unknown>> {
  const known = knownConfig(name);
  if (known) return known;
  const text = await readFile(name, 'utf8').catch(() => {
    throw new UsageError(`--config ${name}: neither a known model nor a file that can be read`);
  });
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new UsageError(`--config ${name}: the file is not JSON`);
  }
}

async function main(): Promise<void> {
  const args = readArguments();
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  let said = 0;
  const { files, parameters } = await writeCheckpoint({
    ...args,
    config: await readConfig(args.config),
    tokenizer: args.tokenizer ? await folderFiles(args.tokenizer) : builtInTokenizer(),
    sink: new FolderSink(args.out),
    onProgress(bytes, total) {
      if (seconds() < said + 2) return;
      said = seconds();
      process.stderr.write(
        `${((100 * bytes) / total).toFixed(0)} %, ${(bytes / 1e6 / said).toFixed(0)} MB/s, ` +
          `${(total / 1e9).toFixed(2)} GB in all\n`,
      );
    },
  });
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const report = {
    out: args.out,
    format: args.format,
    seed: args.seed,
    parameters,
    bytes,
    seconds: Number(seconds().toFixed(2)),
    megabytes_per_second: Math.round(bytes / 1e6 / seconds()),
    files,
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

main().catch((error: Error) => {
  const usage = error instanceof UsageError;
  process.stderr.write(`${error.message}\n${usage ? USAGE : ''}`);
  process.exitCode = usage ? 2 : 1;
});
