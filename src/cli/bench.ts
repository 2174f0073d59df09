/**
 * npm run -s bench [-- --quick] [--only SECTION[,SECTION…]] [--model DIR [--quantize]] [--out FILE]
 *                 [--beside bench/pytorch_reference.py] [--rows TOKENS.jsonl] [--seconds N] [--tier f32|f16|subgroup-matrix|auto]
 *                 [--keep-bytes N[,N…]]
 * Measures this machine through Dawn, section by section: `ceiling` (a large copy), `products` (matrix products in every
 * weight format and both directions), `step` (whole ORPO steps of a random Llama-3.2-1B-shaped model with NF4 weights),
 * `tokenise` (rows to token ids), `eval` (multiple choice in shared packs and one by one), `generate` (tokens a second),
 * `load` (the model of --model from disk to the GPU, with --quantize as NF4, and its first steps), and only when they are named
 * `fit` (what the page finds out about a GPU at its first visit), `race` (tile shapes of products against each other),
 * `attention` (its kernels at the heads of 1B and 8B models), `attention-race` (their shapes against each other), `beside` (steps
 * in turn with the reference of --beside on the same GPU), `real-rows` (pairs per second on real rows, or those of --rows, in turn
 * with the reference, and what each saving is worth; both with each `keep_bytes` of --keep-bytes), `scaling` (time over tokens, layers and many steps) and `keep` (what keep_bytes
 * buys). Prints tables, and writes JSON with --out, section by section; a section that would begin after --seconds is left out.
 */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { Bench, type Measurement } from '../bench/harness';
import type { BenchRun, Section } from '../bench/section';
import { attention } from '../bench/sections/attention';
import { attentionRace } from '../bench/sections/attention_race';
import { beside } from '../bench/sections/beside';
import { ceiling } from '../bench/sections/ceiling';
import { evaluation } from '../bench/sections/eval';
import { fit } from '../bench/sections/fit';
import { generation } from '../bench/sections/generate';
import { keep } from '../bench/sections/keep';
import { load } from '../bench/sections/load';
import { products } from '../bench/sections/products';
import { race } from '../bench/sections/race';
import { realRows } from '../bench/sections/real-rows';
import { scaling } from '../bench/sections/scaling';
import { step } from '../bench/sections/step';
import { tokenise } from '../bench/sections/tokenise';
import type { TokenizedPair } from '../data/types';
import { Commands } from '../gpu/commands';
import { folderFiles } from './node-files';
import { openTierGpu } from './open-gpu';
import { projectRoot } from './paths';
import { startReference } from './reference-process';

const SECTIONS: Record<string, Section> = {
  ceiling,
  products,
  step,
  tokenise,
  fit,
  race,
  attention,
  'attention-race': attentionRace,
  load,
  eval: evaluation,
  generate: generation,
  beside,
  'real-rows': realRows,
  scaling,
  keep,
};
const ONLY_WHEN_NAMED = ['fit', 'race', 'attention', 'attention-race', 'beside', 'real-rows', 'scaling', 'keep'];

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    model: { type: 'string' },
    quantize: { type: 'boolean', default: false },
    out: { type: 'string' },
    beside: { type: 'string' },
    rows: { type: 'string' },
    'keep-bytes': { type: 'string', default: '-1' },
    seconds: { type: 'string' },
    tier: { type: 'string' },
  },
});
const print = (line: string) => process.stdout.write(`${line}\n`);
const names = values.only?.split(',') ?? Object.keys(SECTIONS).filter((name) => !ONLY_WHEN_NAMED.includes(name));
const unknown = names.filter((name) => !SECTIONS[name]);
if (unknown.length) {
  print(`bench: no section ${unknown.join(', ')}; there are ${Object.keys(SECTIONS).join(', ')}`);
  process.exit(2);
}

const reference = values.beside ? startReference(values.beside) : null;
// Without this, timestamps are rounded to 0.1 ms.
const gpu = await openTierGpu(values.tier, { disabledToggles: ['timestamp_quantization'] });
const { vendor, architecture, description } = gpu.info;
const adapter = [vendor, architecture, description].filter(Boolean).join(' ');
print(`${adapter}${gpu.isSoftware ? ' (software)' : ''}, tier ${gpu.profile.tier}`);

const results: Measurement[] = [];
const secondsLeft = () => Number(values.seconds ?? 'Infinity') - performance.now() / 1000;
const run: BenchRun = {
  gpu,
  bench: new Bench(new Commands(gpu.device)),
  quick: values.quick,
  folder: async (path) => {
    const place = join(projectRoot, path);
    return existsSync(place) ? folderFiles(place) : null;
  },
  model: values.model
    ? { name: basename(values.model), files: await folderFiles(values.model), quantize: values.quantize }
    : null,
  heapBytes() {
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  },
  reference,
  pairs: values.rows ? jsonLines<TokenizedPair>(await readFile(values.rows, 'utf8')) : null,
  keepBytes: values['keep-bytes'].split(',').map(Number),
  secondsLeft,
  async save() {
    if (!values.out) return;
    const report = { adapter, tier: gpu.profile.tier, results, ...run.report, failures: reference?.failures };
    await writeFile(values.out, `${JSON.stringify(report, null, 1)}\n`);
  },
  print,
  show(list) {
    for (const { name, ms, tflops, gbps } of list) {
      const rate = tflops ? `${tflops.toFixed(1)} TFLOP/s` : `${gbps!.toFixed(0)} GB/s`;
      print(`  ${name.padEnd(48)} ${ms.toFixed(3).padStart(9)} ms  ${rate}`);
    }
    results.push(...list);
  },
  report: {},
};
if (reference) {
  run.report.reference = await reference.about();
  print(
    `beside ${Object.entries(run.report.reference as object)
      .flat()
      .join(' ')}`,
  );
}
let failed = false;
for (const name of names) {
  if (secondsLeft() < 1) {
    print(`${name}: left out, the time is up`);
    continue;
  }
  try {
    await SECTIONS[name](run);
  } catch (error) {
    // What the other sections measure is not lost with this one.
    failed = true;
    print(`${name}: ${(error as Error).stack}`);
  }
  await run.save();
}
for (const fault of gpu.faults) print(`fault: ${fault}`);
await reference?.close();
process.exit(failed || gpu.faults.length ? 1 : 0);

function jsonLines<T>(text: string): T[] {
  return text
    .split('\n')
    .filter((line) => line.trim())
    .map((line) => JSON.parse(line) as T);
}
