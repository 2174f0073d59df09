/** A run logged live to a stand-in for Weights & Biases, from a page that has trained before. */

import { expect } from 'vitest';
import { serveWandb } from '../../support/wandb-server';
import { violations } from './axe';
import { shot } from './shots';
import type { StudioPage } from './studio';

export async function logsLive(studio: StudioPage): Promise<void> {
  const { page } = studio;
  const wandb = await serveWandb();
  try {
    await studio.settings({ max_steps: 2, eval_steps: 2 });
    const card = page.getByRole('region', { name: 'Log to Weights & Biases' });
    await card.getByRole('checkbox').check();
    await card.getByLabel('API key').fill(wandb.key);
    await card.getByLabel('Project').fill('orpo');
    await card.getByLabel('Host').fill('http://api.example.com');
    await card.getByText(/must begin with https/).waitFor();
    await card.getByLabel('Host').fill(wandb.host);
    expect(await violations(page, '.wandb')).toEqual([]);
    await shot(page, 'wandb');
    await page.getByRole('complementary', { name: 'Plan of the run' }).getByText(/^2 \(/).waitFor();
    wandb.faults.push(500);
    await studio.start();
    expect(await studio.ended()).toBe('Finished');
    const side = page.getByRole('complementary', { name: 'This run' });
    await side.getByText(/^Logged at /).waitFor();
    await shot(page, 'wandb-logged');
    const [[path, run]] = wandb.runs;
    expect(path).toMatch(/^visitor\/orpo\/[0-9a-f-]{36}$/);
    expect(run.exitcode).toBe(0);
    expect(run.config).toMatchObject({ max_steps: { value: 2 }, model_name: { value: 'stories-260k' } });
    await studio.goTo('Export');
    const logged = new TextDecoder()
      .decode((await studio.download('Download log as JSONL')).bytes)
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const lines = [1, 2].map((at) => Object.assign({}, ...logged.filter(({ step }) => step === at)));
    expect(run.history).toEqual(lines.map((line) => expect.objectContaining(line)));
    expect(run.history[1]).toHaveProperty('eval_rewards/margins');

    await studio.goTo('Settings');
    await card.getByLabel('API key').fill('another');
    await studio.start();
    expect(await studio.ended()).toBe('Finished');
    await page.getByText(/^Live logging has ended: .* does not take this key\..* The run goes on/).waitFor();
    expect(wandb.runs.size).toBe(1);
    expect(await page.evaluate((key) => JSON.stringify({ ...localStorage }).includes(key), wandb.key)).toBe(false);
  } finally {
    await wandb.close();
  }
}
