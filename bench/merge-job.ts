/**
 * npm run -s merge-job -- --model DIR --out DIR [--adapter DIR] [--dtype BF16|F16|F32|source] [--shard-bytes N] [--merger gpu|cpu]
 *
 * Merges a PEFT adapter, or a random one of rank 16 on all seven projections, into a model of any size, as the Export step
 * does, and opens what was written: names, shapes and dtypes of all weights must be those that the model had before it was
 * quantised. Prints one JSON line with seconds, MB/s and the most memory that this process took. Status 1 when something differs.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { dawn } from '../src/cli/dawn';
import { FolderSink } from '../src/cli/folder-sink';
import { folderFiles } from '../src/cli/node-files';
import { exportMerged } from '../src/export/export';
import { GpuMerger } from '../src/export/gpu-merger';
import { cpuMerger } from '../src/export/merge';
import { isNf4, nf4Original, weightNames } from '../src/formats/bnb-nf4';
import { readJson } from '../src/formats/bytes';
import { Checkpoint } from '../src/formats/checkpoint';
import { ADAPTER_CONFIG_FILE, ADAPTER_FILE, type AdapterTensor, readAdapter } from '../src/formats/peft';
import { openGpu } from '../src/gpu/device';
import { initialAdapter } from '../src/model/adapter';
import { parseConfig } from '../src/model/config';
import { loraLayout } from '../src/model/lora';
import { DEFAULT_HPARAMS } from '../src/train/hparams';

const DTYPES = ['BF16', 'F16', 'F32', 'source'] as const;
const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: {
    ...{ model: text, out: text, adapter: text, 'shard-bytes': text },
    ...{ dtype: { ...text, default: 'BF16' }, merger: { ...text, default: 'gpu' } },
  },
});
const say = (line: string) => process.stderr.write(`${line}\n`);
const dtype = DTYPES.find((known) => known === values.dtype);
if (!values.model || !values.out || !dtype) {
  say(`merge-job: --model DIR, --out DIR and a --dtype of ${DTYPES.join(', ')} are needed`);
  process.exit(2);
}

const checkpoint = await Checkpoint.open(await folderFiles(values.model));

/** Its tensors, and the factor of B A. */
async function adapterOf(folder: string | undefined): Promise<[ReadonlyMap<string, AdapterTensor>, number]> {
  if (folder) {
    const files = await folderFiles(folder);
    const config = await readJson<{ r: number; lora_alpha: number; use_rslora?: boolean }>(files, ADAPTER_CONFIG_FILE);
    const scale = config.lora_alpha / (config.use_rslora ? Math.sqrt(config.r) : config.r);
    return [await readAdapter(await files.open(ADAPTER_FILE), ADAPTER_FILE), scale];
  }
  const layout = loraLayout(parseConfig(checkpoint.config), DEFAULT_HPARAMS, 2 ** 30);
  const tensors = initialAdapter(layout, 1);
  // B begins as zero, which would change nothing.
  for (const { name, values: b } of tensors.values()) {
    if (name.includes('lora_B')) for (let i = 0; i < b.length; i++) b[i] = ((i % 17) - 8) * 1e-3;
  }
  return [tensors, layout.scale];
}

const [tensors, scale] = await adapterOf(values.adapter);
const gpu = await openGpu(await dawn());
const onGpu = values.merger === 'gpu' ? new GpuMerger(gpu, tensors, scale) : null;

const memory = () => {
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  return { javascript: heapUsed + arrayBuffers, rss };
};
const before = memory();
const most = { ...before };
const sample = () => {
  const now = memory();
  most.javascript = Math.max(most.javascript, now.javascript);
  most.rss = Math.max(most.rss, now.rss);
};
const timer = setInterval(sample, 10);
let tenth = 0;
const began = performance.now();
const files = await exportMerged({
  checkpoint,
  merger: onGpu ?? cpuMerger(tensors, scale),
  dtype,
  card: '# Merged\n',
  sink: new FolderSink(values.out),
  maxShardBytes: values['shard-bytes'] ? Number(values['shard-bytes']) : undefined,
  onProgress({ bytes, totalBytes }) {
    sample();
    if (bytes < (tenth * totalBytes) / 10) return;
    say(`${10 * tenth++} %, ${Math.round((performance.now() - began) / 1000)} s`);
  },
});
const seconds = (performance.now() - began) / 1000;
clearInterval(timer);
if (onGpu?.failure) throw onGpu.failure;

/** What differs between the weights that were to be written and those that are there. */
async function differences(written: Checkpoint): Promise<string[]> {
  const wrong: string[] = [];
  const [wanted, found] = [weightNames(checkpoint), new Set(written.names())];
  for (const name of wanted) {
    const source = checkpoint.tensor(name);
    const shape = isNf4(checkpoint, name) ? (await nf4Original(checkpoint, name)).shape : source.shape;
    const tensor = found.delete(name) ? written.tensor(name) : null;
    if (String(tensor?.shape) !== String(shape)) wrong.push(`${name}: shape [${tensor?.shape}], not [${shape}]`);
    if (dtype !== 'source' && tensor?.dtype !== dtype) wrong.push(`${name}: ${tensor?.dtype}, not ${dtype}`);
  }
  return [...wrong, ...[...found].map((name) => `${name}: not in the model`)];
}

const wrong = await differences(await Checkpoint.open(await folderFiles(join(values.out))));
for (const line of wrong) say(line);
const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
const result = {
  ...{ adapter: `${gpu.info.vendor} ${gpu.info.description}`, merger: values.merger, dtype, bytes, seconds },
  ...{ megabytesPerSecond: bytes / seconds / 1e6, weights: weightNames(checkpoint).length, wrong: wrong.length },
  ...{ shards: files.filter(({ name }) => name.endsWith('.safetensors')).length, before, most },
};
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(wrong.length ? 1 : 0);
