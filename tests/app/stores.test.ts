import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EvalRecord, RunProgress, Settings, StepRecord } from '../../src/worker/protocol';

/**
 * The stores against an engine at the other end of a real message channel. The browser's parts that Node lacks are
 * stood in for by the smallest thing that behaves the same.
 */
type Message = { id: number; type: string; args: unknown };
let engineEnd: MessagePort;
let pageEnd: MessagePort;
let frame: ReturnType<typeof setTimeout>;
const received: Message[] = [];
const settle = () => new Promise((resolve) => setTimeout(resolve, 20));
const answer = (type: string, result: unknown) => {
  const message = received.findLast((candidate) => candidate.type === type);
  if (!message) throw new Error(`no ${type} was asked for`);
  engineEnd.postMessage({ id: message.id, ok: true, result });
};
const refuse = (type: string, error: { code: string; message: string }) => {
  const message = received.findLast((candidate) => candidate.type === type);
  engineEnd.postMessage({ id: message?.id, ok: false, error });
};

class ChannelWorker {
  constructor() {
    const { port1, port2 } = new MessageChannel();
    pageEnd = port1;
    engineEnd = port2;
    port1.start();
    port2.start();
    port2.addEventListener('message', (event) => received.push(event.data));
    // biome-ignore lint/correctness/noConstructorReturn: the port is the worker
    return port1 as unknown as ChannelWorker;
  }
}

let run: typeof import('../../src/app/store/run');
let metrics: typeof import('../../src/app/store/metrics');
let alerts: typeof import('../../src/app/store/alerts');
let confirm: typeof import('../../src/app/store/confirm');
let settings: typeof import('../../src/app/store/settings');
let models: typeof import('../../src/app/store/models');

beforeAll(async () => {
  const stored = new Map<string, string>();
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => stored.set(key, value),
    removeItem: (key: string) => stored.delete(key),
  });
  stored.set(
    'orpo-studio.settings',
    JSON.stringify({
      version: 1,
      state: { presetId: 'gentle', touched: true, evalFraction: 9, hparams: { beta: 0.3, lora_r: 'wide' } },
    }),
  );
  vi.stubGlobal('Worker', ChannelWorker);
  vi.stubGlobal('requestAnimationFrame', (callback: (now: number) => void) => {
    frame = setTimeout(() => callback(performance.now()), 4);
  });
  run = await import('../../src/app/store/run');
  metrics = await import('../../src/app/store/metrics');
  alerts = await import('../../src/app/store/alerts');
  confirm = await import('../../src/app/store/confirm');
  settings = await import('../../src/app/store/settings');
  models = await import('../../src/app/store/models');
});

afterAll(() => {
  clearTimeout(frame);
  pageEnd.close();
  vi.unstubAllGlobals();
});

beforeEach(() => {
  run.forgetRun();
  received.length = 0;
  alerts.useAlerts.setState({ alerts: [] });
});

const facts = () => {
  const { hparams, evalFraction } = settings.useSettings.getState();
  const chosen: Settings = { hparams, evalFraction };
  return { modelTitle: 'Stories', dataName: 'pairs.jsonl', settings: chosen, plan: null };
};
const progress = (state: RunProgress['state'], step: number): RunProgress => ({
  state,
  step,
  totalSteps: 10,
  epoch: 0.1,
  tokensPerSecond: 1,
  pairsPerSecond: 1,
  secondsLeft: null,
  activity: 'training',
});
const record = (step: number) => ({ step, loss: 1 }) as StepRecord;

describe('the run', () => {
  it('starts, moves, is stopped and keeps its adapter', async () => {
    const ended = run.startRun(facts());
    await settle();
    expect(received[0]).toMatchObject({ type: 'train', args: { hparams: { beta: 0.3 } } });
    run.runProgressed(progress('running', 3));
    expect(run.useRun.getState().progress?.step).toBe(3);
    const stopping = run.stopRun();
    run.runProgressed(progress('running', 4));
    expect(run.useRun.getState().progress).toMatchObject({ state: 'stopping', step: 4 });
    await settle();
    answer('stop', progress('stopping', 4));
    answer('train', progress('stopped', 5));
    await Promise.all([ended, stopping]);
    run.runProgressed(progress('running', 4));
    expect(run.useRun.getState().progress).toMatchObject({ state: 'stopped', step: 5 });
    expect(run.hasAdapter(run.useRun.getState())).toBe(true);
  });

  it('that fails shows the error and keeps what was trained', async () => {
    const ended = run.startRun(facts());
    await settle();
    metrics.pushStep(record(1));
    metrics.pushStep(record(2));
    refuse('train', { code: 'device-lost', message: 'The GPU went away. Reload the page.' });
    await ended;
    expect(run.useRun.getState().progress).toMatchObject({ state: 'failed', step: 2 });
    expect(alerts.useAlerts.getState().alerts).toMatchObject([{ code: 'device-lost', tone: 'error' }]);
    expect(run.hasAdapter(run.useRun.getState())).toBe(true);
  });

  it('is not given up unasked while its adapter is not exported', async () => {
    run.useRun.setState({ progress: progress('finished', 10), exported: false });
    const first = run.mayForgetRun('Loading a model');
    expect(confirm.useConfirm.getState().question?.text).toContain('Loading a model');
    confirm.useConfirm.getState().question?.answer(false);
    expect(await first).toBe(false);
    run.useRun.setState({ exported: true });
    expect(await run.mayForgetRun('Loading a model')).toBe(true);
  });

  it('under way cannot be given up at all', async () => {
    run.useRun.setState({ progress: progress('running', 1) });
    expect(await run.mayForgetRun('Loading a model')).toBe(false);
    expect(alerts.useAlerts.getState().alerts).toMatchObject([{ code: 'run-busy', tone: 'notice' }]);
  });
});

describe('the model', () => {
  const asked = (id: string) => ({ id, source: { kind: 'builtin', id } as const });
  const refused = { code: 'out-of-memory', message: 'The GPU has no room. Choose a smaller model.' };
  /** Asks for a model and lets the engine answer. */
  async function load(id: string, reply: () => void): Promise<boolean> {
    const done = models.loadModel(asked(id));
    await settle();
    reply();
    await settle();
    answer('offers', { models: [], data: [], shapes: [], curated: [] });
    return done;
  }

  it('that made room for one that then fails is told to be gone, with what was trained on it', async () => {
    const first = { id: 'one', title: 'One', origin: 'builtin', parameters: 1e9 };
    expect(await load('one', () => answer('loadModel', first))).toBe(true);
    run.useRun.setState({ progress: progress('finished', 10), exported: true });
    // Refused before it made room: all stays.
    expect(await load('two', () => refuse('loadModel', refused))).toBe(false);
    expect(models.useModels.getState().model).toMatchObject({ id: 'one' });
    expect(run.hasAdapter(run.useRun.getState())).toBe(true);
    expect(alerts.useAlerts.getState().alerts.map(({ code }) => code)).toEqual(['out-of-memory']);
    const failed = await load('two', () => {
      models.modelUnloaded();
      refuse('loadModel', refused);
    });
    expect(failed).toBe(false);
    expect(models.useModels.getState()).toMatchObject({ model: null, loaded: null });
    expect(run.hasAdapter(run.useRun.getState())).toBe(false);
    expect(alerts.useAlerts.getState().alerts.at(-1)).toMatchObject({
      code: 'no-model-now',
      message: 'No model is loaded now: One was freed to make room. Load it or another one to go on.',
    });
    expect(await load('one', () => answer('loadModel', first))).toBe(true);
    expect(alerts.useAlerts.getState().alerts.map(({ code }) => code)).toEqual(['out-of-memory']);
  });
});

describe('metrics', () => {
  it('are published far less often than they come', async () => {
    let told = 0;
    const stop = metrics.subscribeMetrics(() => told++);
    for (let step = 1; step <= 5000; step++) metrics.pushStep(record(step));
    metrics.pushEval({ step: 5000 } as EvalRecord);
    expect(told).toBe(0);
    await vi.waitFor(() => expect(told).toBe(1), 5000);
    await settle();
    stop();
    expect(told).toBe(1);
    expect(metrics.metrics.steps).toHaveLength(5000);
    expect(metrics.metrics.evals).toHaveLength(1);
  });
});

describe('settings', () => {
  it('come back from the last visit, without what is no longer allowed', () => {
    const { presetId, touched, hparams, evalFraction } = settings.useSettings.getState();
    expect(presetId).toBe('gentle');
    expect(touched).toBe(true);
    expect(hparams.beta).toBe(0.3);
    expect(hparams.lora_r).toBe(16);
    expect(evalFraction).toBe(0.1);
  });

  it('go back to the preset one by one or all at once', () => {
    const { set, setInvalid, reset, choosePreset } = settings.useSettings.getState();
    set('lora_r', 64);
    setInvalid('seed', 'Type a number.');
    reset('lora_r');
    expect(settings.useSettings.getState().hparams.lora_r).toBe(16);
    expect(settings.useSettings.getState().hparams.beta).toBe(0.3);
    choosePreset('gentle');
    expect(settings.useSettings.getState().hparams.beta).toBe(0.1);
    expect(settings.useSettings.getState().invalid).toEqual({});
  });

  it('follow the model only until the visitor has chosen', () => {
    settings.useSettings.getState().suggestPreset('quick');
    expect(settings.useSettings.getState().presetId).toBe('gentle');
    settings.useSettings.setState({ touched: false });
    settings.useSettings.getState().suggestPreset('quick');
    expect(settings.useSettings.getState().presetId).toBe('quick');
  });
});

describe('alerts', () => {
  it('say each thing once and show even what nobody foresaw', () => {
    alerts.reportError(new Error('boom'));
    alerts.reportError(new Error('boom'));
    alerts.reportError('odd');
    const shown = alerts.useAlerts.getState().alerts;
    expect(shown.map(({ code }) => code)).toEqual(['unexpected', 'unexpected']);
    expect(shown[0].message).toContain('boom');
    alerts.dismissAlert(shown[0].id);
    expect(alerts.useAlerts.getState().alerts).toHaveLength(1);
  });
});
