/** Greedy continuations as transformers makes them in fp32 (tests/goldens/generation), token by token. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { loadTokenizer } from '../../src/data/tokenizer';
import type { ModelFiles } from '../../src/formats/bytes';
import { generateOnce } from '../../src/generate/generate';
import { stopTokens } from '../../src/generate/stop-tokens';
import { loadModel } from '../../src/model/load';
import { testGpu } from '../model/support';
import { folderFiles, repositoryPath } from '../support/files';

interface Golden {
  prompt: string;
  prompt_ids: number[];
  greedy_ids: number[];
  text: string;
  smallest_margin: number;
}

/** Where the two best logits are nearer than this, rounding may choose either. */
const TIE = 1e-3;

const goldens = (name: string): Golden[] =>
  JSON.parse(readFileSync(repositoryPath(`tests/goldens/generation/greedy_${name}.json`), 'utf8'));

interface Limits {
  prompts?: number;
  tokens?: number;
}

/** With limits only the first prompts, and only the first tokens of their answers. */
async function check(files: ModelFiles, name: string, limits: Limits = {}): Promise<void> {
  const recorded = goldens(name).slice(0, limits.prompts);
  const tokenizer = await loadTokenizer(files);
  const model = await loadModel(testGpu(), files);
  const stopIds = await stopTokens(files, tokenizer);
  const longest = Math.max(...recorded.map((g) => g.greedy_ids.length));
  const maxNewTokens = Math.min(longest, limits.tokens ?? longest);
  const expected = recorded.map((g) => g.greedy_ids.slice(0, maxNewTokens));
  const seen: number[][] = recorded.map(() => []);
  const answers = await generateOnce(
    model,
    null,
    recorded.map((g) => g.prompt_ids),
    { maxNewTokens, stopIds, onToken: ({ prompt, id }) => seen[prompt].push(id) },
  );
  for (const [i, golden] of recorded.entries()) {
    const { ids, margins, finish } = answers[i];
    expect(seen[i]).toEqual(ids);
    const tie = margins.findIndex((margin) => margin < TIE);
    const sure = tie < 0 ? maxNewTokens : tie;
    expect(sure).toBeGreaterThan(5);
    expect(ids.slice(0, Math.min(sure, expected[i].length))).toEqual(expected[i].slice(0, sure));
    if (golden.greedy_ids.length > sure) continue;
    if (stopIds.includes(golden.greedy_ids.at(-1)!))
      expect({ ids, finish }).toEqual({ ids: golden.greedy_ids, finish: 'stop' });
    const smallest = Math.min(...margins.slice(0, golden.greedy_ids.length));
    expect(Math.abs(smallest - golden.smallest_margin)).toBeLessThan(TIE);
  }
  model.weightMemory.destroy();
}

// All of them take a minute of both cores; GOLDENS=all asks for that.
const all = process.env.GOLDENS === 'all';
const some = (prompts: number, tokens: number): [Limits, string] =>
  all ? [{}, ''] : [{ prompts, tokens }, `, ${tokens} tokens of ${prompts} prompts (GOLDENS=all: of all)`];

describe('greedy ids are those recorded', () => {
  const [story, ofStories] = some(12, 24);
  test(`stories-260k, f32${ofStories}`, async () => {
    await check(await folderFiles(repositoryPath('public/models/stories-260k')), 'stories-260k', story);
  });

  const [nf4, ofNf4] = some(4, 12);
  test(`pocket-15m-bnb-4bit, NF4${ofNf4}`, async () => {
    await check(await folderFiles(repositoryPath('public/models/pocket-15m-bnb-4bit')), 'pocket-15m-bnb-4bit', nf4);
  });

  const folder = process.env.POCKET_15M;
  const bf16 = folder !== undefined && existsSync(folder);
  const where = bf16 ? '' : ' (skipped: its weights are not in the project; POCKET_15M=FOLDER names them)';
  test.skipIf(!bf16)(`pocket-15m, bf16${where}`, async () => {
    await check(await folderFiles(folder!), 'pocket-15m');
  });
});
