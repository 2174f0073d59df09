/**
 * npm run -s train -- --model DIR --data ROWS.jsonl [--eval ROWS.jsonl] --config HPARAMS.json --out DIR
 *                     [--adapter-init FILE] [--merge] [--dtype source|F32|BF16|F16] [--shard-bytes N]
 *                     [--format safetensors|gguf-f16|gguf-q8_0] [--max-steps N] [--chatml reserved|add]
 *
 * The page's engine under Node. Rows {prompt, chosen, rejected} are used as they are (no template). Writes log.jsonl,
 * eval.jsonl, adapter_model.safetensors and adapter_config.json, with --merge a loadable merged/, or with a GGUF format a
 * gguf/ for llama.cpp and Ollama. Progress on standard error; status 0 only for a finished run, 1 for a failure, 2 for
 * wrong arguments.
 */
import { createReadStream } from 'node:fs';
import { appendFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { Readable } from 'node:stream';
import { parseArgs } from 'node:util';
import { parsePreferenceData } from '../data/parse';
import { resolveTokenIds } from '../data/tokenize';
import { tokenizeSet } from '../data/tokenize-set';
import { loadTokenizer, type Tokenizer } from '../data/tokenizer';
import type { TokenizedPair } from '../data/types';
import { exportAdapter, exportGguf, exportMerged } from '../export/export';
import { mergerFor } from '../export/gpu-merger';
import { adapterCard, ggufCard, mergedCard } from '../export/model-card';
import { readAdapter } from '../formats/peft';
import { openGpu } from '../gpu/device';
import { downloadAdapter, initialAdapter, uploadAdapter } from '../model/adapter';
import { loadModel } from '../model/load';
import { Session } from '../model/session';
import type { HParams } from '../train/hparams';
import { quantizeOptions } from '../train/nf4';
import { Pace } from '../train/pace';
import { parseHParams } from '../train/parse-hparams';
import { planTraining } from '../train/run-plan';
import { Trainer } from '../train/trainer';
import { dawn } from './dawn';
import { FolderSink } from './folder-sink';
import { CHATML_OPTION, folderFiles, modelFolder } from './node-files';

const USAGE =
  'train: --model DIR --data ROWS.jsonl [--eval ROWS.jsonl] --config HPARAMS.json --out DIR ' +
  '[--adapter-init FILE] [--merge] [--dtype source|F32|BF16|F16] [--shard-bytes N] ' +
  `[--format safetensors|gguf-f16|gguf-q8_0] [--max-steps N] ${CHATML_OPTION}`;

const DTYPES = ['source', 'F32', 'BF16', 'F16'] as const;
const FORMATS = ['safetensors', 'gguf-f16', 'gguf-q8_0'] as const;
const isOneOf = <T extends string>(all: readonly T[], text: string): text is T => all.includes(text as T);

const say = (text: string) => process.stderr.write(`${text}\n`);

function readArguments() {
  const options = {
    model: { type: 'string' },
    data: { type: 'string' },
    eval: { type: 'string' },
    config: { type: 'string' },
    out: { type: 'string' },
    'adapter-init': { type: 'string' },
    merge: { type: 'boolean' },
    dtype: { type: 'string', default: 'F32' },
    format: { type: 'string', default: 'safetensors' },
    'shard-bytes': { type: 'string' },
    chatml: { type: 'string' },
    'max-steps': { type: 'string' },
  } as const;
  const { values } = parseArgs({ options });
  const { model, data, config, out, dtype, format } = values;
  const count = (name: 'max-steps' | 'shard-bytes') => {
    const value = values[name] === undefined ? undefined : Number(values[name]);
    if (value === undefined || (Number.isInteger(value) && value > 0)) return value;
    throw new RangeError(`--${name} must be a whole number of at least 1`);
  };
  if (!model || !data || !config || !out) throw new RangeError('--model, --data, --config and --out are needed');
  if (!isOneOf(DTYPES, dtype)) throw new RangeError(`--dtype is one of ${DTYPES.join(', ')}`);
  if (!isOneOf(FORMATS, format)) throw new RangeError(`--format is one of ${FORMATS.join(', ')}`);
  const [maxSteps, shardBytes] = [count('max-steps'), count('shard-bytes')];
  return { ...values, model, data, config, out, dtype, format, maxSteps, shardBytes };
}

/** The usable rows of a file as tokens; the others are named on standard error. */
async function readPairs(path: string, tokenizer: Tokenizer, hparams: HParams): Promise<TokenizedPair[]> {
  const stream = Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>;
  const { size } = await stat(path);
  const parsed = await parsePreferenceData(stream, { name: basename(path), size });
  for (const { line, message } of parsed.problems) say(`${path}:${line}: ${message}`);
  const ids = resolveTokenIds(hparams, tokenizer);
  const set = await tokenizeSet(tokenizer, parsed.rows, hparams, ids);
  for (const { line, message } of set.problems) say(`${path}:${line}: ${message}`);
  return set.pairs;
}

async function main(): Promise<void> {
  const args = readArguments();
  const { hparams, nf4, unknown } = parseHParams(JSON.parse(await readFile(args.config, 'utf8')));
  if (unknown.length) say(`settings without effect here: ${unknown.join(', ')}`);
  const files = await modelFolder(args.model, args.chatml);
  const tokenizer = await loadTokenizer(files);
  const train = await readPairs(args.data, tokenizer, hparams);
  const evaluation = args.eval ? await readPairs(args.eval, tokenizer, hparams) : [];

  const gpu = await openGpu(await dawn());
  say(`GPU: ${gpu.info.vendor} ${gpu.info.architecture} ${gpu.info.description}${gpu.isSoftware ? ' (software)' : ''}`);
  const quantize = quantizeOptions(nf4);
  const model = await loadModel(gpu, files, undefined, { quantize });
  const plan = planTraining(model.config, gpu.device.limits, gpu.profile, hparams, train, evaluation);
  say(
    `${train.length} pairs, ${evaluation.length} for evaluation, ${plan.steps.length} steps, ${plan.lora.parameters} trainable parameters`,
  );
  const session = await Session.create(model, plan.lora, plan.capacity, hparams);
  const bytes = [model.weightMemory.bytes, session.memory.bytes];
  say(`GPU memory: ${(bytes[0] / 1e9).toFixed(3)} GB of weights and ${(bytes[1] / 1e9).toFixed(3)} GB for the run`);
  uploadAdapter(
    session,
    args['adapter-init'] ? await fileAdapter(args['adapter-init']) : initialAdapter(plan.lora, hparams.init_seed),
  );

  await mkdir(args.out, { recursive: true });
  const write = (name: string, record: object) => appendFile(`${args.out}/${name}`, `${JSON.stringify(record)}\n`);
  await writeFile(`${args.out}/log.jsonl`, '');
  await writeFile(`${args.out}/eval.jsonl`, '');
  let writing: Promise<void> = Promise.resolve();
  const pace = new Pace();
  const trainer = new Trainer(session, plan, {
    onStep(record, pairs, tokens) {
      pace.step(pairs, tokens);
      const { tokensPerSecond } = pace.rates;
      say(
        `step ${record.step}/${plan.steps.length}  loss ${record.loss.toFixed(4)}  margin ${record['rewards/margins'].toFixed(4)}  ${tokensPerSecond.toFixed(0)} tokens/s`,
      );
      writing = writing.then(() => write('log.jsonl', record));
    },
    onEval(record) {
      say(
        `eval after step ${record.step}  loss ${record.eval_loss.toFixed(4)}  accuracy ${record['eval_rewards/accuracies'].toFixed(3)}`,
      );
      writing = writing.then(() => write('eval.jsonl', record));
    },
  });
  await trainer.run({ maxSteps: args.maxSteps });
  await writing;

  const adapter = await downloadAdapter(session);
  const facts = {
    baseModel: basename(args.model),
    quantizedBase: model.weights.get('model.layers.0.self_attn.q_proj.weight').format === 'NF4',
    dataName: basename(args.data),
    trainPairs: train.length,
    hparams,
    log: { steps: trainer.log, evals: trainer.evalLog },
    gpu: `${gpu.info.vendor} ${gpu.info.architecture} ${gpu.info.description}`,
    tier: gpu.profile.tier,
  };
  const config = {
    base_model_name_or_path: basename(args.model),
    r: hparams.lora_r,
    lora_alpha: hparams.lora_alpha,
    lora_dropout: hparams.disable_dropout ? 0 : hparams.lora_dropout,
    target_modules: hparams.target_modules,
    use_rslora: hparams.use_rslora,
    use_dora: hparams.use_dora,
  };
  await exportAdapter({
    tensors: [...adapter.values()],
    config,
    card: adapterCard(facts),
    sink: new FolderSink(args.out),
  });
  if (args.merge) {
    const { checkpoint } = model;
    const { merger, release } = mergerFor(gpu, adapter, plan.lora.scale);
    const { dtype, format, shardBytes: maxShardBytes } = args;
    const folder = `${args.out}/${format === 'safetensors' ? 'merged' : 'gguf'}`;
    const common = { checkpoint, merger, sink: new FolderSink(folder) };
    if (format === 'safetensors') {
      await exportMerged({ ...common, dtype, quantize, maxShardBytes, card: mergedCard(facts, dtype) });
    } else {
      const type = format === 'gguf-f16' ? 'F16' : 'Q8_0';
      const fileName = `${basename(args.model)}-orpo-${type}`;
      const form = { type, base: 'trained', quantize, name: `${basename(args.model)}-orpo` } as const;
      await exportGguf({ ...common, form, fileName, card: ggufCard(facts, `${fileName}.gguf`) });
    }
    release();
    say(`merged model in ${folder}`);
  }
}

async function fileAdapter(path: string) {
  const files = await folderFiles(dirname(path));
  return readAdapter(await files.open(basename(path)), basename(path));
}

main().then(
  () => process.exit(0),
  (error: Error) => {
    say(
      error instanceof RangeError || error.message.startsWith('Unknown option')
        ? `${error.message}\n${USAGE}`
        : error.message,
    );
    process.exit(error instanceof RangeError ? 2 : 1);
  },
);
