/**
 * npm run -s train -- --model DIR --data ROWS.jsonl [--eval ROWS.jsonl] --config HPARAMS.json --out DIR
 *                     [--adapter-init FILE] [--merge] [--dtype F32|BF16|F16] [--max-steps N] [--chatml reserved|add]
 *
 * The page's engine under Node. Rows {prompt, chosen, rejected} are used as they are (no template). Writes log.jsonl,
 * eval.jsonl, adapter_model.safetensors and adapter_config.json, with --merge a loadable merged/. Progress on standard
 * error; status 0 only for a finished run, 1 for a failure, 2 for wrong arguments.
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
import { exportAdapter, exportMerged } from '../export/export';
import { cpuMerger } from '../export/merge';
import { adapterCard, mergedCard } from '../export/model-card';
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
  `[--adapter-init FILE] [--merge] [--dtype F32|BF16|F16] [--max-steps N] ${CHATML_OPTION}`;

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
    chatml: { type: 'string' },
    'max-steps': { type: 'string' },
  } as const;
  const { values } = parseArgs({ options });
  const { model, data, config, out, dtype } = values;
  const maxSteps = values['max-steps'] === undefined ? undefined : Number(values['max-steps']);
  if (!model || !data || !config || !out) throw new RangeError('--model, --data, --config and --out are needed');
  if (dtype !== 'F32' && dtype !== 'BF16' && dtype !== 'F16') throw new RangeError('--dtype is F32, BF16 or F16');
  if (maxSteps !== undefined && !(Number.isInteger(maxSteps) && maxSteps > 0)) {
    throw new RangeError('--max-steps must be a whole number of at least 1');
  }
  return { ...values, model, data, config, out, dtype: dtype as 'F32' | 'BF16' | 'F16', maxSteps };
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
  const plan = planTraining(model.config, gpu.device.limits, gpu.profile.attentionTile, hparams, train, evaluation);
  say(
    `${train.length} pairs, ${evaluation.length} for evaluation, ${plan.steps.length} steps, ${plan.lora.parameters} trainable parameters`,
  );
  const session = await Session.create(model, plan.lora, plan.capacity, hparams);
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
    lastStep: trainer.log.at(-1),
    lastEval: trainer.evalLog.at(-1),
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
    const merger = cpuMerger(adapter, plan.lora.scale);
    const card = mergedCard(facts, args.dtype);
    const sink = new FolderSink(`${args.out}/merged`);
    const { checkpoint } = model;
    await exportMerged({ checkpoint, merger, dtype: args.dtype, quantize, card, sink });
    say(`merged model in ${args.out}/merged`);
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
