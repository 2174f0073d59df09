/**
 * npm run -s bench [-- --quick] [--out FILE]
 * Measures this machine's GPU through Dawn: a large copy, matrix products in every weight format and both directions,
 * and whole ORPO steps of a random Llama-3.2-1B-shaped model with NF4 weights. Prints tables, and writes JSON with --out.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { Bench, type Measurement, measure } from '../bench/harness';
import { type ProductCase, productError, productTimes, tileName } from '../bench/products';
import { stepTime } from '../bench/step';
import { LLAMA_1B, randomModel } from '../bench/synthetic';
import { Commands } from '../gpu/commands';
import { openGpu } from '../gpu/device';
import { dawn } from './dawn';

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, out: { type: 'string' } } });
const print = (line: string) => process.stdout.write(`${line}\n`);

// Without this, timestamps are rounded to 0.1 ms.
const gpu = await openGpu(await dawn({ disabledToggles: ['timestamp_quantization'] }));
const { vendor, architecture, description } = gpu.info;
const adapter = [vendor, architecture, description].filter(Boolean).join(' ');
print(`${adapter}${gpu.isSoftware ? ' (software)' : ''}, tier ${gpu.profile.tier}`);
print(`tiles: ${tileName(gpu.profile.large)}; NF4 ${tileName(gpu.profile.largeNf4 ?? gpu.profile.large)}`);

const cmd = new Commands(gpu.device);
const bench = new Bench(cmd);
const results: Measurement[] = [];
const show = (list: Measurement[]) => {
  for (const { name, ms, tflops, gbps } of list) {
    const rate = tflops ? `${tflops.toFixed(1)} TFLOP/s` : `${gbps!.toFixed(0)} GB/s`;
    print(`  ${name.padEnd(48)} ${ms.toFixed(3).padStart(9)} ms  ${rate}`);
  }
  results.push(...list);
};

const bytes = Math.min(2 ** 29, gpu.device.limits.maxBufferSize);
const [from, to] = [bench.bits(bytes), bench.bits(bytes)];
const copy = { group: 'ceiling', name: 'copy', record: () => cmd.copy(from, to, bytes), bytes: 2 * bytes };
show(await measure(cmd, [copy]));
await cmd.finish();
bench.destroy();

const formats = ['F32', 'BF16', 'NF4'] as const;
const directions = ['forward', 'backward'] as const;
const size = values.quick ? 2048 : 4096;
const own = [['', gpu.profile]] as const;
const errors: { name: string; error: number }[] = [];
for (const format of formats) {
  for (const direction of directions) {
    const c: ProductCase = { direction, format, tokens: size, rows: size, columns: size };
    const error = await productError(bench, { ...c, tokens: 256 }, gpu.profile);
    errors.push({ name: `${direction} ${format}`, error });
    if (!(error < 1e-5)) throw new Error(`${direction} ${format} is off by ${error} of the largest value`);
    show(await productTimes(bench, 'square', [c], own));
  }
}
const shapes = [
  [2048, 2048],
  [512, 2048],
  [8192, 2048],
  [2048, 8192],
];
for (const tokens of values.quick ? [1024] : [1024, 2048, 4096]) {
  const cases = shapes.flatMap(([rows, columns]) =>
    directions.map((direction): ProductCase => ({ direction, format: 'NF4', tokens, rows, columns })),
  );
  show(await productTimes(bench, 'Llama-3.2-1B', cases, own, 10));
}

const model = await randomModel(gpu, LLAMA_1B, 'NF4', 'BF16');
const steps = [];
for (const prompt of [1, 512]) {
  const r = await stepTime(model, { pairs: 2, length: 1024, prompt }, values.quick ? 2 : 6, true);
  steps.push({ prompt, ...r });
  const gib = ((r.weightBytes + r.runBytes) / 2 ** 30).toFixed(2);
  print(
    `step, 2 pairs x 2 x 1,024 tokens, ${prompt} shared: ${r.ms.toFixed(0)} ms, ` +
      `${r.tokensPerSecond.toFixed(0)} tokens/s, ${gib} GiB, ${r.dispatches} dispatches`,
  );
  for (const k of r.kernels.slice(0, 20)) {
    const tflops = (k.cost / k.ms / 1e9).toFixed(1);
    print(`  ${k.name.padEnd(64)} ${String(k.dispatches).padStart(5)} ${k.ms.toFixed(2).padStart(9)} ms  ${tflops}`);
  }
}
for (const fault of gpu.faults) print(`fault: ${fault}`);
if (values.out) {
  const { large, largeNf4, tall, wide } = gpu.profile;
  const report = { adapter, tier: gpu.profile.tier, tiles: { large, largeNf4, tall, wide }, results, errors, steps };
  await writeFile(values.out, `${JSON.stringify(report, null, 1)}\n`);
}
process.exit(gpu.faults.length ? 1 : 0);
