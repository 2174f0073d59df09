/** Items as transformers scored them in fp32 (tests/goldens/eval): token counts of all, log-probabilities of some. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { compareGolden, GOLDEN_MAX_LENGTH, LOGPROB_LIMIT } from '../../src/cli/eval-golden';
import { loadTokenizer } from '../../src/data/tokenizer';
import { ItemEncoder } from '../../src/eval/encode';
import { evaluateTask } from '../../src/eval/evaluate';
import type { ChoiceItem } from '../../src/eval/items';
import { readTask } from '../../src/eval/read/task';
import { memorySource } from '../../src/formats/bytes';
import { loadModel } from '../../src/model/load';
import { testGpu } from '../model/support';
import { folderFiles, repositoryPath } from '../support/files';
import { GOLDENS } from './goldens';

const folder = repositoryPath('tests/goldens/eval');

const readFile = (name: string, limit?: number) =>
  readTask(memorySource(readFileSync(`${folder}/data/${name}.jsonl`)), { name, limit });

// pocket-15m has the tokenizer of its 4-bit version.
describe.each([
  ['stories-260k', 'stories-260k'],
  ['pocket-15m', 'pocket-15m-bnb-4bit'],
])('%s', (model, tokenizerOf) => {
  test.each(GOLDENS)('%s: scored tokens of every choice', async (name) => {
    const tokenizer = await loadTokenizer(await folderFiles(repositoryPath(`public/models/${tokenizerOf}`)));
    const encoder = new ItemEncoder(tokenizer, GOLDEN_MAX_LENGTH);
    const recorded = JSON.parse(readFileSync(`${folder}/${model}_${name}.json`, 'utf8'));
    const { items } = await readFile(name);
    const tokens = items.map((item) =>
      encoder.choices(item as ChoiceItem).sequences.map((s) => s.ids.length - s.scoredFrom),
    );
    expect(tokens).toEqual(recorded.map((item: { tokens: number[] }) => item.tokens));
  });
});

/** All of them: npm run -s eval -- --model DIR --task tests/goldens/eval/data/… --golden tests/goldens/eval */
async function some(model: string, files: string, limit: number, names: readonly string[]): Promise<void> {
  const opened = await folderFiles(files);
  const tokenizer = await loadTokenizer(opened);
  const open = await loadModel(testGpu(), opened);
  for (const name of names) {
    const task = await readFile(name, limit);
    const result = await evaluateTask(open, null, tokenizer, task, { stopIds: [], maxLength: GOLDEN_MAX_LENGTH });
    const report = compareGolden(result, `${folder}/${model}_${name}.json`);
    expect(report).toMatchObject({ items: limit, different: 0, acc: 0, acc_norm: 0 });
    expect(report.worst).toBeLessThan(LOGPROB_LIMIT);
  }
  open.weightMemory.destroy();
}

test('stories-260k: log-probabilities of the first items', async () => {
  await some('stories-260k', repositoryPath('public/models/stories-260k'), 6, GOLDENS.slice(1));
  // Contexts of these are cut.
  await some('stories-260k', repositoryPath('public/models/stories-260k'), 1, GOLDENS.slice(0, 1));
});

const pocket = process.env.POCKET_15M;
const here = pocket !== undefined && existsSync(pocket);
const where = here ? '' : ' (skipped: its weights are not in the project; POCKET_15M=FOLDER names them)';
test.skipIf(!here)(`pocket-15m: log-probabilities of the first items${where}`, async () => {
  await some('pocket-15m', pocket!, 6, GOLDENS);
});

test('a log-probability that is off by more than the limit is seen', async () => {
  const task = await readFile('copa', 2);
  const recorded = JSON.parse(readFileSync(`${folder}/stories-260k_copa.json`, 'utf8'));
  const items = task.items.map((item, i) => ({
    item,
    sides: [
      {
        values: { acc: 1, acc_norm: 1 },
        scores: recorded[i].logprob.map((l: number, c: number) => ({
          logprob: l + 0.002,
          tokens: recorded[i].tokens[c],
        })),
      },
    ],
  }));
  const report = compareGolden(
    { name: 'copa', format: '', metrics: ['acc'], items, cut: 0, shots: 0, seed: 0, problems: [], seconds: 0 },
    `${folder}/stories-260k_copa.json`,
  );
  expect(report.worst).toBeGreaterThan(LOGPROB_LIMIT);
  expect(report.different).toBe(0);
});
