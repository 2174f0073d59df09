/** The first steps of a recorded TRL + PEFT run, repeated: rows, batches, gradients, losses and metrics within their limits. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, test, vi } from 'vitest';
import { dawn } from '../../src/cli/dawn';
import { compareRun, type Row } from '../../src/cli/golden-run';
import { repositoryPath } from '../support/files';

// What compareRun opens must not depend on the machine's GPU.
await dawn({ software: true });

// A pass of 1,900 tokens takes SwiftShader some 12 s on two idle cores, and several times that on busy ones.
vi.setConfig({ testTimeout: 400_000 });

const golden = repositoryPath('tests/goldens/stories-260k-lora');
const models = repositoryPath('public/models');
const about = JSON.parse(readFileSync(`${golden}/golden.json`, 'utf8'));

async function rowsOf(folder: string, maxSteps: number): Promise<Row[]> {
  const rows: Row[] = [];
  await compareRun({ folder, models, about, maxSteps, report: (row) => rows.push(row) });
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
