/**
 * npm run -s llama-cpp -- --llama DIR --model DIR [--adapter DIR] --prompts FILE.json [--count 8] [--tokens 48]
 *
 * Exports a model, with an adapter merged into it, as GGUF in F16 and Q8_0, has llama.cpp load and continue prompts with
 * it, and compares with this engine's own greedy answers in f32. `--llama` is a folder in which node-llama-cpp (llama.cpp's
 * prebuilt libraries) is installed; it is no dependency of this project:
 *
 *     npm i --ignore-scripts --omit=optional node-llama-cpp && npm i --ignore-scripts @node-llama-cpp/linux-x64
 *
 * `--prompts` is a list of { prompt, prompt_ids }, the ids as transformers makes them of it: tests/goldens/generation has some.
 * Status 1 when a prompt is not tokenised alike, or an answer in F16 leaves this engine's where that was sure of its token.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { dawn } from '../src/cli/dawn';
import { FolderSink } from '../src/cli/folder-sink';
import { folderFiles } from '../src/cli/node-files';
import { loadTokenizer } from '../src/data/tokenizer';
import { exportGguf, exportMerged } from '../src/export/export';
import { cpuMerger, type Merger } from '../src/export/merge';
import { readJson } from '../src/formats/bytes';
import { Checkpoint } from '../src/formats/checkpoint';
import { ADAPTER_CONFIG_FILE, ADAPTER_FILE, readAdapter } from '../src/formats/peft';
import { generateOnce } from '../src/generate/generate';
import { stopTokens } from '../src/generate/stop-tokens';
import { openGpu } from '../src/gpu/device';
import { loadModel } from '../src/model/load';

/** What is used of node-llama-cpp. */
interface Sequence {
  evaluate(ids: readonly number[], options: object): AsyncIterable<number>;
}
interface LlamaModel {
  tokens: { bos: number | null; shouldPrependBosToken: boolean };
  tokenize(text: string, special: boolean): number[];
  createContext(options: object): Promise<{ getSequence(): Sequence; dispose(): Promise<void> }>;
  dispose(): Promise<void>;
}
interface Llama {
  llamaCppRelease: { release: string };
  loadModel(options: { modelPath: string }): Promise<LlamaModel>;
}

/** Where the two best logits are nearer than this, rounding to F16 may choose either. */
const TIE = 0.02;

const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: {
    ...{ llama: text, model: text, adapter: text, prompts: text },
    ...{ count: { ...text, default: '8' }, tokens: { ...text, default: '48' } },
  },
});
const { llama: place, model: folder, prompts: list } = values;
if (!place || !folder || !list) {
  process.stderr.write('llama-cpp: --llama DIR, --model DIR and --prompts FILE are needed\n');
  process.exit(2);
}

async function mergerOf(adapter: string | undefined): Promise<Merger> {
  if (!adapter) return cpuMerger(new Map(), 1);
  const files = await folderFiles(adapter);
  const { r, lora_alpha } = await readJson<{ r: number; lora_alpha: number }>(files, ADAPTER_CONFIG_FILE);
  return cpuMerger(await readAdapter(await files.open(ADAPTER_FILE), ADAPTER_FILE), lora_alpha / r);
}

const at = createRequire(join(resolve(place), 'package.json')).resolve('node-llama-cpp');
const { getLlama } = (await import(/* @vite-ignore */ pathToFileURL(at).href)) as {
  getLlama(options: object): Promise<Llama>;
};
const temporary = await mkdtemp(join(tmpdir(), 'llama-cpp-'));
let wrong = 0;
try {
  const checkpoint = await Checkpoint.open(await folderFiles(folder));
  const merger = await mergerOf(values.adapter);
  const common = { checkpoint, merger, sink: new FolderSink(temporary), card: '# A model\n' };
  for (const type of ['F16', 'Q8_0'] as const) {
    await exportGguf({ ...common, form: { type, base: 'trained', name: 'A model' }, fileName: type });
  }
  const mergedFolder = join(temporary, 'merged');
  await exportMerged({ ...common, sink: new FolderSink(mergedFolder), dtype: 'F32' });

  const files = await folderFiles(mergedFolder);
  const tokenizer = await loadTokenizer(files);
  const all = JSON.parse(await readFile(list, 'utf8')) as { prompt: string; prompt_ids: number[] }[];
  const rows = all.slice(0, Number(values.count));
  const ids = rows.map(({ prompt_ids }) => prompt_ids);
  const model = await loadModel(await openGpu(await dawn()), files);
  const options = { maxNewTokens: Number(values.tokens), stopIds: await stopTokens(files, tokenizer) };
  const answers = await generateOnce(model, null, ids, options);

  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, progressLogs: false, maxThreads: 1 });
  process.stdout.write(`llama.cpp ${llama.llamaCppRelease.release}\n`);
  for (const type of ['F16', 'Q8_0']) {
    const read = await llama.loadModel({ modelPath: join(temporary, `${type}.gguf`) });
    let [alike, equal] = [0, 0];
    for (const [i, { prompt }] of rows.entries()) {
      const { bos, shouldPrependBosToken } = read.tokens;
      const told = read.tokenize(prompt, true);
      if (shouldPrependBosToken && bos !== null && told[0] !== bos) told.unshift(bos);
      if (String(told) === String(ids[i])) alike++;
      else process.stdout.write(`  ${type}, prompt ${i}: ${told} where transformers has ${ids[i]}\n`);
      const { ids: expected, margins } = answers[i];
      const context = await read.createContext({ contextSize: ids[i].length + options.maxNewTokens, threads: 1 });
      let step = 0;
      const made = context.getSequence().evaluate(ids[i], { temperature: 0, yieldEogToken: true });
      for await (const id of made) {
        if (id !== expected[step] || ++step === expected.length) break;
      }
      await context.dispose();
      if (step === expected.length) equal++;
      else {
        process.stdout.write(
          `  ${type}, answer ${i}: parts after ${step} tokens, margin ${margins[step].toFixed(4)}\n`,
        );
        if (type === 'F16' && margins[step] > TIE) wrong++;
      }
    }
    wrong += rows.length - alike;
    const of = `of ${rows.length}`;
    process.stdout.write(`${type}: ${alike} ${of} prompts tokenised alike, ${equal} ${of} answers equal\n`);
    await read.dispose();
  }
} finally {
  await rm(temporary, { recursive: true });
}
process.exit(wrong > 0 ? 1 : 0);
