/**
 * npm run -s bench [-- --quick] [--only SECTION[,SECTION…]] [--model DIR [--quantize]] [--out FILE]
 * Measures this machine through Dawn, section by section: `ceiling` (a large copy), `products` (matrix products in every
 * weight format and both directions), `step` (whole ORPO steps of a random Llama-3.2-1B-shaped model with NF4 weights),
 * `tokenise` (rows to token ids), `eval` (multiple choice in shared packs and one by one), `generate` (tokens a second),
 * `load` (the model of --model from disk to the GPU, with --quantize as NF4, and its first steps), and only when it is named
 * `race` (tile shapes of products against each other). Prints tables, and writes JSON with --out.
 */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { Bench, type Measurement } from '../bench/harness';
import type { BenchRun, Section } from '../bench/section';
import { ceiling } from '../bench/sections/ceiling';
import { evaluation } from '../bench/sections/eval';
import { generation } from '../bench/sections/generate';
import { load } from '../bench/sections/load';
import { products } from '../bench/sections/products';
import { race } from '../bench/sections/race';
import { step } from '../bench/sections/step';
import { tokenise } from '../bench/sections/tokenise';
import { Commands } from '../gpu/commands';
import { openGpu } from '../gpu/device';
import { dawn } from './dawn';
import { folderFiles } from './node-files';
import { projectRoot } from './paths';

const SECTIONS: Record<string, Section> = {
  ceiling,
  products,
  step,
  tokenise,
  race,
  load,
  eval: evaluation,
  generate: generation,
};

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    model: { type: 'string' },
    quantize: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});
const print = (line: string) => process.stdout.write(`${line}\n`);
const names = values.only?.split(',') ?? Object.keys(SECTIONS).filter((name) => name !== 'race');
const unknown = names.filter((name) => !SECTIONS[name]);
if (unknown.length) {
  print(`bench: no section ${unknown.join(', ')}; there are ${Object.keys(SECTIONS).join(', ')}`);
  process.exit(2);
}

// Without this, timestamps are rounded to 0.1 ms.
const gpu = await openGpu(await dawn({ disabledToggles: ['timestamp_quantization'] }));
const { vendor, architecture, description } = gpu.info;
const adapter = [vendor, architecture, description].filter(Boolean).join(' ');
print(`${adapter}${gpu.isSoftware ? ' (software)' : ''}, tier ${gpu.profile.tier}`);

const results: Measurement[] = [];
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
for (const name of names) await SECTIONS[name](run);
for (const fault of gpu.faults) print(`fault: ${fault}`);
if (values.out) {
  const report = { adapter, tier: gpu.profile.tier, results, ...run.report };
  await writeFile(values.out, `${JSON.stringify(report, null, 1)}\n`);
}
process.exit(gpu.faults.length ? 1 : 0);
