/** Live logging to Weights & Biases, against a server with its rules and faults. */
import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WandbClient } from '../../src/runs/wandb/client';
import { PACE, WandbLogger, type WandbPace, type WandbStatus } from '../../src/runs/wandb/logger';
import type { EvalRecord, StepRecord } from '../../src/train/records';
import { repositoryPath } from '../support/files';
import { serveWandb, type WandbServer } from '../support/wandb-server';

const FAST: WandbPace = { batchMs: 10, heartbeatMs: 10_000, firstRetryMs: 5, lastRetryMs: 20, endMs: 60_000 };
const RUN = 'visitor/orpo/run-1';

let server: WandbServer;
let told: WandbStatus[];
let steps: StepRecord[];
let evals: EvalRecord[];

beforeEach(async () => {
  server = await serveWandb();
  told = [];
  const lines = async (name: string) =>
    (await readFile(repositoryPath(`tests/goldens/stories-260k-lora/${name}`), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  steps = (await lines('log.jsonl')) as StepRecord[];
  evals = (await lines('eval.jsonl')) as EvalRecord[];
  return () => server.close();
});

let open: WandbLogger[] = [];
afterEach(async () => {
  await Promise.all(open.map((logger) => logger.finish(0)));
  open = [];
});

function begin({ key = server.key, entity = '', pace = {} as Partial<WandbPace> } = {}): WandbLogger {
  const client = new WandbClient({ host: server.host, key, entity, project: 'orpo' });
  const about = { id: 'run-1', name: 'Stories, pairs', notes: '', config: { learning_rate: 1e-3, lora_r: 8 } };
  const logger = new WandbLogger(client, about, (status) => told.push(status), { ...FAST, ...pace });
  open.push(logger);
  return logger;
}

/** The golden's steps and evaluations in the order in which a run tells them. */
function logAll(logger: WandbLogger, from = 1, to = steps.length): void {
  for (const record of steps.slice(from - 1, to)) {
    logger.step(record);
    const held = evals.find(({ step }) => step === record.step);
    if (held) logger.eval(held);
  }
}

/** Every step by its line, with the evaluation made at it. */
function expectWhole(to = steps.length): void {
  const { history } = server.runs.get(RUN)!;
  expect(history).toHaveLength(to);
  for (const [i, line] of history.entries()) {
    const held = evals.find(({ step }) => step === i + 1);
    expect(line).toMatchObject({ ...steps[i], ...held, _step: i });
  }
}

const reached = (state: WandbStatus['state']) => expect.poll(() => told.map((status) => status.state)).toContain(state);

describe('live logging', () => {
  it('sends every step and evaluation by TRL’s names, with the settings, and says when the run is over', async () => {
    const logger = begin();
    logAll(logger, 1, 10);
    await reached('logging');
    await expect.poll(() => server.log).toContain('history');
    logAll(logger, 11);
    await logger.finish(0);
    expectWhole();
    const run = server.runs.get(RUN)!;
    expect(run.displayName).toBe('Stories, pairs');
    expect(run.config).toMatchObject({ learning_rate: { value: 1e-3 }, lora_r: { value: 8 } });
    expect(run.summary).toMatchObject({ ...steps.at(-1), ...evals.at(-1) });
    expect(run.exitcode).toBe(0);
    expect(server.log.filter((what) => what === 'history').length).toBeLessThan(steps.length);
    expect(told.at(-1)).toEqual({ state: 'finished', url: `${server.host}/visitor/orpo/runs/run-1` });
  });

  it('keeps a step back until its evaluation can no longer come', async () => {
    const logger = begin();
    logAll(logger, 1, 4);
    await expect.poll(() => server.runs.get(RUN)?.history.length).toBe(3);
    await logger.finish(0);
    expectWhole(4);
  });

  it.each([
    ['too many requests', [429, 429]],
    ['faults of the server', [500, 503]],
    ['connections that break', ['drop', 'drop']],
  ] as const)('outlives %s, before the run there is made and after', async (_, faults) => {
    server.faults.push(...faults);
    const logger = begin();
    logAll(logger, 1, 12);
    await expect.poll(() => server.log).toContain('history');
    server.faults.push(...faults);
    logAll(logger, 13);
    await logger.finish(0);
    expectWhole();
    expect(told.filter(({ state }) => state === 'waiting').length).toBeGreaterThanOrEqual(4);
    expect(told.at(-1)?.state).toBe('finished');
  });

  it('waits as long as the server asks', async () => {
    server.faults.push(429);
    server.retryAfter = 1;
    const started = Date.now();
    const logger = begin();
    await expect.poll(() => server.log).toContain('upsert');
    expect(Date.now() - started).toBeGreaterThanOrEqual(1000);
    await logger.finish(0);
  });

  it.each([
    ['a wrong key', { key: 'wrong' }, [], /does not take this key/],
    ['a project that it may not write to', {}, [403], /may not write/],
    ['a request that will not do', {}, [400], /refused the request \(400\)/],
  ] as const)('ends with a sentence at %s, and is never asked again', async (_, options, faults, sentence) => {
    server.faults.push(...faults);
    const logger = begin(options);
    logAll(logger);
    await logger.done;
    expect(told.at(-1)).toEqual({ state: 'failed', message: expect.stringMatching(sentence) });
    expect(server.log).toEqual([]);
    await logger.finish(0);
    expect(server.log).toEqual([]);
  });

  it('gives up some time after the end of a run whose server stays away', async () => {
    const logger = begin({ pace: { endMs: 400 } });
    logAll(logger);
    await reached('logging');
    server.faults.push(...Array.from({ length: 1000 }, () => 'drop' as const));
    await logger.finish(0);
    expect(told.at(-1)).toEqual({ state: 'failed', message: expect.stringMatching(/the last steps are missing/) });
  });

  it('goes on where it was when a run goes on from a checkpoint, and sends nothing twice', async () => {
    const first = begin();
    logAll(first, 1, 12);
    await first.finish(1);
    expect(server.runs.get(RUN)!.exitcode).toBe(1);
    const before = server.runs.get(RUN)!.history.map(({ _timestamp }) => _timestamp);
    const second = begin();
    const behind = evals.filter(({ step }) => step <= 8);
    second.restore(steps.slice(0, 8), behind);
    logAll(second, 9);
    await second.finish(0);
    expectWhole();
    expect(
      server.runs
        .get(RUN)!
        .history.slice(0, 12)
        .map(({ _timestamp }) => _timestamp),
    ).toEqual(before);
  });

  it('sends what is not a number in words that W&B reads', async () => {
    const logger = begin();
    logger.step({ ...steps[0], grad_norm: Number.NaN, loss: Number.POSITIVE_INFINITY });
    await logger.finish(0);
    expect(server.runs.get(RUN)!.history[0]).toMatchObject({ grad_norm: 'NaN', loss: 'Infinity' });
  });

  it('gives signs of life while a run is paused', async () => {
    const logger = begin({ pace: { heartbeatMs: 30 } });
    await expect.poll(() => server.log.filter((what) => what === 'beat').length).toBeGreaterThan(1);
    await logger.finish(0);
    expect(PACE.heartbeatMs).toBe(30_000);
  });
});
