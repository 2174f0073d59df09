/** A run that storage refuses, as on a full disk or in some private windows: it trains and is logged live, and says so. */
import { expect } from 'vitest';
import type { Settings } from '../../src/worker/protocol';
import { serveWandb } from '../support/wandb-server';
import type { OpenStudio } from './studio-support';

/** From here on the studio's runs cannot be written. */
export async function trainsUnkept({ studio, events, kill }: OpenStudio, settings: Settings): Promise<void> {
  const { max_steps, lora_r } = settings.hparams;
  const wandb = await serveWandb();
  try {
    const { host, key } = wandb;
    await studio.handlers.setWandb({ settings: { host, key, entity: '', project: 'orpo' } });
    kill();
    const from = events.length;
    expect(await studio.handlers.train(settings)).toMatchObject({ state: 'finished', step: max_steps });
    const told = events.slice(from).filter(({ event }) => /Kept$|^checkpoint/.test(event));
    expect(told).toMatchObject([{ event: 'runNotKept', error: { message: 'killed' } }]);

    await expect.poll(() => [...wandb.runs.values()].map(({ exitcode }) => exitcode)).toEqual([0]);
    const [run] = wandb.runs.values();
    expect(run.config).toMatchObject({ max_steps: { value: max_steps }, lora_r: { value: lora_r } });
    const steps = events.slice(from).flatMap((e) => (e.event === 'step' ? [e.record] : []));
    expect(steps).toHaveLength(max_steps);
    expect(run.history).toEqual(steps.map((step) => expect.objectContaining(step)));
  } finally {
    await wandb.close();
  }
}
