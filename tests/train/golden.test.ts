/** The first steps of a recorded TRL + PEFT run, repeated: rows, batches, gradients, losses and metrics within their limits. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, test, vi } from 'vitest';
import { dawn } from '../../src/cli/dawn';
import { compareRun, type Row } from '../../src/cli/golden-run';
import { repositoryPath } from '../support/files';
import { testDevice } from '../support/gpu';

// What compareRun opens must not depend on the machine's GPU.
await dawn({ software: true });

// A pass of 1,900 tokens takes SwiftShader some 12 s on two idle cores, and several times that on busy ones.
vi.setConfig({ testTimeout: 400_000 });

const golden = repositoryPath('tests/goldens/stories-260k-lora');
const models = repositoryPath('public/models');
const about = JSON.parse(readFileSync(`${golden}/golden.json`, 'utf8'));

async function rowsOf(folder: string, maxSteps: number, tier?: string): Promise<Row[]> {
  const rows: Row[] = [];
  await compareRun({ folder, models, about, maxSteps, tier, report: (row) => rows.push(row) });
  return rows;
}

/** As `npm run golden` judges: a deviation that is not a number is outside as well. */
const outside = (rows: readonly Row[]) => rows.filter(({ worst, limit }) => limit !== null && !(worst <= limit));

test('stories-260k with LoRA, two steps', async () => {
  const rows = await rowsOf(golden, 2);
  expect(outside(rows)).toEqual([]);
  const judged = rows.filter(({ limit }) => limit !== null).map(({ what }) => what);
  for (const what of [/^tokens/, /^eval_tokens/, /^batches/, /gradients/, /step 1 loss/, /2 steps loss/, /margins/]) {
    expect(
      judged.find((name) => what.test(name)),
      String(what),
    ).toBeDefined();
  }
});

const hasF16 = (await testDevice()).features.has('shader-f16');
const without = hasF16 ? '' : ' (skipped: this driver has no shader-f16; lavapipe does)';

test.skipIf(without)(`a step with f16 operands is within that tier's limits, and no f32 step${without}`, async () => {
  const rows = await rowsOf(golden, 1, 'f16');
  expect(outside(rows)).toEqual([]);
  const worstOf = (what: RegExp) => rows.find((row) => what.test(row.what))!;
  expect(worstOf(/step 1 loss/)).toMatchObject({ limit: 5e-3 });
  expect(worstOf(/step 1 gradients/)).toMatchObject({ limit: 2e-2 });
  expect(worstOf(/step 1 gradients/).worst).toBeGreaterThan(about.tolerances.gradients);
});

test('another beta is outside the limits', async () => {
  const folder = mkdtempSync(`${tmpdir()}/golden-`);
  try {
    // Without the recorded gradients, which would take another pass.
    const keep = (path: string) => !path.endsWith('grads_step1.safetensors');
    cpSync(golden, folder, { recursive: true, filter: keep });
    const hparams = JSON.parse(readFileSync(`${golden}/hparams.json`, 'utf8'));
    writeFileSync(`${folder}/hparams.json`, JSON.stringify({ ...hparams, beta: 1.01 * hparams.beta }));
    const names = outside(await rowsOf(folder, 1)).map(({ what }) => what);
    expect(names).toContain('step 1 loss (relative)');
    expect(names).not.toContain('step 1 nll_loss (relative)');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
