/**
 * npm run -s golden [-- NAME ...] [--max-steps N] [--tier f32|f16|subgroup-matrix|auto]
 * Repeats recorded TRL + PEFT runs on this engine and prints the worst deviation of everything that was recorded.
 * Exits with 1 when one is outside its tolerance. Long runs are cut short, and it says so, on an adapter that computes on
 * the CPU, unless they are named.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { compareRun, type GoldenAbout, type Row } from './golden-run';
import { openTierGpu } from './open-gpu';
import { projectRoot } from './paths';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'max-steps': { type: 'string' },
    tier: { type: 'string' },
    goldens: { type: 'string' },
    models: { type: 'string' },
  },
});
const folder = values.goldens ?? `${projectRoot}/tests/goldens`;
const models = values.models ?? `${projectRoot}/public/models`;
const names = positionals.length
  ? positionals
  : readdirSync(folder).filter((n) => existsSync(`${folder}/${n}/golden.json`));

const { tier } = values;
const { isSoftware, device } = await openTierGpu(tier);
device.destroy();

let failed = false;
for (const name of names) {
  const about: GoldenAbout = JSON.parse(readFileSync(`${folder}/${name}/golden.json`, 'utf8'));
  process.stdout.write(`\n${name} (model ${about.model})\n`);
  const report = (row: Row) => {
    const verdict = row.limit === null ? 'for information' : row.worst <= row.limit ? 'ok' : 'OUTSIDE';
    if (verdict === 'OUTSIDE') failed = true;
    const limit = row.limit === null ? '' : ` (limit ${row.limit.toExponential(0)})`;
    process.stdout.write(`  ${row.what.padEnd(44)} ${row.worst.toExponential(2)}${limit}  ${verdict}\n`);
  };
  let maxSteps = values['max-steps'] ? Number(values['max-steps']) : undefined;
  if (isSoftware && !positionals.length && maxSteps === undefined && about.cpuSteps !== undefined) {
    maxSteps = about.cpuSteps;
    process.stdout.write(`  no GPU here: ${maxSteps || 'no'} steps of it. npm run golden -- ${name} makes all.\n`);
    if (maxSteps === 0) continue;
  }
  await compareRun({ folder: `${folder}/${name}`, models, about, maxSteps, tier, report });
}
process.exit(failed ? 1 : 0);
