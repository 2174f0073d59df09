import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memoryFiles, memorySource } from '../../src/formats/bytes';
import { readAdapter } from '../../src/formats/peft';
import type { HParams } from '../../src/train/hparams';
import type { EvalRecord, StepRecord } from '../../src/train/records';
import { fixture } from '../support/files';
import { sha256 } from '../support/model-server';
import { type Site, serveSite } from '../support/site';
import { unzip } from '../support/unzip';
import { launch, quiet, type TestBrowser, visit, type Watched } from './support/browser';
import { inOrder } from './support/in-order';
import { logsLive } from './support/live-logging';
import { baseFiles, evaluateInNode, type SameRun, trainInNode } from './support/node-run';
import { chooseOwnFolder, readFolder } from './support/own-folder';
import { jsonl, shortRows } from './support/rows';
import { loraDelta, readF32 } from './support/safetensors';
import { expectShown } from './support/shown';
import { RUN_MS, StudioPage } from './support/studio';

const ROWS = jsonl(shortRows(16));
const STEPS = 8;
const EVAL_STEPS = [4, 8];
const SETTINGS = {
  max_steps: STEPS,
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 1,
  max_prompt_length: 64,
  max_length: 128,
  eval_steps: 4,
  learning_rate: 2e-3,
};

let site: Site;
let releaseWeights: () => void;
let browser: TestBrowser;
let visited: Watched;
let studio: StudioPage;
let hparams: HParams;

/** Files that the page wrote. */
const written: Record<'merged' | 'adapter', Map<string, Uint8Array>> = { merged: new Map(), adapter: new Map() };
let log: { steps: StepRecord[]; evals: EvalRecord[] };
/** Steps of the run that started from the first run's adapter. */
let further: StepRecord[];
/** What the page showed while it trained: [step, points in the loss chart]. */
let seen: [number, number][];

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const chart = (title: string) => studio.page.getByRole('figure', { name: title, exact: true });

inOrder(() => studio?.page);

beforeAll(async () => {
  site = await serveSite();
  browser = await launch();
  site.holds['model.safetensors'] = new Promise((release) => {
    releaseWeights = release;
  });
  visited = await visit(browser, site.url, { init: chooseOwnFolder, motion: true });
  studio = new StudioPage(visited.page);
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});

describe('the whole job', () => {
  it('fetches the model on the first visit, showing how far it is', async () => {
    const bar = studio.page.getByRole('progressbar', { name: /^Loading / });
    await bar.waitFor({ timeout: 60_000 });
    // Half of the weights are on this side of a server that holds the rest back.
    await expect
      .poll(async () => Number(await bar.getAttribute('aria-valuenow')), { timeout: 30_000 })
      .toBeGreaterThan(30);
    expect(Number(await bar.getAttribute('aria-valuenow'))).toBeLessThan(60);
    await studio.page.getByText(/^[4-6]\d\d kB of 1\.1 MB · .*B\/s · \d:\d\d left/).waitFor();
    expect(await studio.step('Model').textContent()).toMatch(/loading [3-6]\d %/);
    releaseWeights();
    await studio.modelLoaded();
    await studio.page.getByText('stored in this browser').waitFor();
    expect(site.requests).toContain('models/stories-260k/model.safetensors');
  });

  it('takes a dropped file', async () => {
    await studio.drop('pairs.jsonl', ROWS, () => studio.page.getByText('drop here to train on this file').waitFor());
    await studio.dataRead('pairs.jsonl', 16);
    await studio.page.getByText('Every row is usable.').waitFor();
    await studio.holdOut(25);
    await studio.page.getByText('12 to train on, 4 held out.').waitFor();
    const first = studio.page.getByRole('article', { name: 'Pair 1', exact: true });
    expect(await first.textContent()).toContain('Once upon a time');
  });

  it('takes settings and plans the run with them', async () => {
    await studio.settings(SETTINGS);
    const plan = studio.page.getByRole('complementary', { name: 'Plan of the run' });
    await expect.poll(() => plan.textContent()).toMatch(/Steps\s*8 \(6 per epoch\)/);
    const { name, bytes } = await studio.download('Export settings');
    expect(name).toBe('hparams.json');
    hparams = JSON.parse(text(bytes));
    expect(hparams).toMatchObject(SETTINGS);
  });

  it('trains, and shows progress and curves while it does', { timeout: RUN_MS }, async () => {
    await studio.goTo('Train');
    await chart('Loss').waitFor();
    await studio.page.evaluate(() => {
      const shown = new Set<string>();
      Object.assign(window, { shown });
      const look = () => {
        const step = /^(\d+) \//.exec(document.querySelector('.run-line')?.textContent ?? '')?.[1];
        const points = document.querySelector('figure[aria-label="Loss"] [data-points]')?.getAttribute('data-points');
        if (step && points) shown.add(`${step} ${points}`);
      };
      new MutationObserver(look).observe(document.body, {
        subtree: true,
        childList: true,
        characterData: true,
        attributes: true,
      });
    });
    await studio.start();
    await studio.page.getByRole('button', { name: 'Stop and keep' }).waitFor();
    expect(await studio.ended()).toBe('Finished');
    const shown = await studio.page.evaluate(() => [...(window as unknown as { shown: Set<string> }).shown]);
    seen = shown.map((pair) => pair.split(' ').map(Number) as [number, number]);
    const midRun = new Set(seen.map(([step]) => step).filter((step) => step > 0 && step < STEPS));
    expect(midRun.size, 'steps that were shown on the way').toBeGreaterThanOrEqual(2);
    expect(
      seen.some(([, points]) => points > 0 && points < STEPS),
      'points drawn on the way',
    ).toBe(true);
    await expect.poll(() => studio.progress).toMatch(/^8 \/ 8 steps/);
    const bar = studio.page.getByRole('progressbar', { name: 'Training progress' });
    expect(await bar.getAttribute('aria-valuenow')).toBe('100');
  });

  it('gives the log as JSONL and CSV', async () => {
    await studio.goTo('Export');
    const json = await studio.download('Download log as JSONL');
    expect(json.name).toBe('stories-260k-orpo-log.jsonl');
    const records = text(json.bytes)
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    log = {
      steps: records.filter((record) => 'loss' in record),
      evals: records.filter((record) => 'eval_loss' in record),
    };
    expect(log.steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(log.evals.map(({ step }) => step)).toEqual(EVAL_STEPS);
    const csv = await studio.download('Download log as CSV');
    const [head, ...lines] = text(csv.bytes)
      .trimEnd()
      .split('\r\n')
      .map((line) => line.split(','));
    expect(lines).toHaveLength(STEPS);
    for (const [i, line] of lines.entries()) {
      const row = Object.fromEntries(head.map((column, c) => [column, line[c]]));
      for (const record of [log.steps[i], log.evals.find(({ step }) => step === i + 1) ?? {}]) {
        for (const [key, value] of Object.entries(record))
          expect(Number(row[key]), `${key} of step ${i + 1}`).toBe(value);
      }
    }
    expect(log.evals[1].eval_loss).toBeLessThan(log.evals[0].eval_loss);
  });

  it('draws every step and evaluation, and says the latest values as in the log', async () => {
    await studio.goTo('Train');
    await studio.page.getByLabel('Smoothing').fill('0');
    const last = log.steps[STEPS - 1];
    const held = log.evals[1];
    const beta = hparams.beta;
    const charts: [string, Record<string, [now: number, held?: number]>][] = [
      [
        'Loss',
        {
          loss: [last.loss, held.eval_loss],
          nll: [last.nll_loss, held.eval_nll_loss],
          β·odds: [-beta * last.log_odds_ratio, -beta * held.eval_log_odds_ratio],
        },
      ],
      ['Reward margin', { margin: [last['rewards/margins'], held['eval_rewards/margins']] }],
      ['Accuracy', { 'chosen preferred': [last['rewards/accuracies'], held['eval_rewards/accuracies']] }],
      [
        'Rewards',
        {
          chosen: [last['rewards/chosen'], held['eval_rewards/chosen']],
          rejected: [last['rewards/rejected'], held['eval_rewards/rejected']],
        },
      ],
      [
        'Log odds',
        {
          'log odds': [last.log_odds_chosen, held.eval_log_odds_chosen],
          'log σ': [last.log_odds_ratio, held.eval_log_odds_ratio],
        },
      ],
      ['Gradient norm', { norm: [last.grad_norm] }],
      ['Learning rate', { rate: [last.learning_rate] }],
    ];
    for (const [title, series] of charts) {
      const figure = chart(title);
      await figure.scrollIntoViewIfNeeded();
      for (const [label, [now, heldOut]] of Object.entries(series)) {
        const path = figure.locator(`path.curve:not(.raw)[data-series="${label}"]`);
        await expect
          .poll(async () => (await path.getAttribute('d'))?.match(/[ML]/g)?.length, {
            message: `${title}: points of ${label}`,
          })
          .toBe(STEPS);
        const dots = figure.locator(`circle.eval-dot[data-series="${label}"]`);
        await expect
          .poll(() => dots.count(), { message: `${title}: held-out points of ${label}` })
          .toBe(heldOut === undefined ? 0 : EVAL_STEPS.length);
        const value = figure.getByRole('listitem').filter({ hasText: label }).locator('strong').first();
        expectShown((await value.textContent())!, now, `${title}: ${label}`);
        if (heldOut === undefined) continue;
        const words = (await figure.locator('.visually-hidden').textContent())!;
        const said = new RegExp(`${label} [^;.]*(?:\\.[^;.]*)*?held out ([^;]*?)(?:;|\\. )`).exec(words)?.[1];
        expectShown(said!, heldOut, `${title}: ${label} held out, in words`);
      }
    }
    const table = studio.page.getByRole('region', { name: 'Held-out pairs' }).getByRole('row');
    const rows = await table.evaluateAll((all) =>
      all.slice(1).map((row) => [...row.children].map((cell) => cell.textContent!)),
    );
    expect(rows.map(([step]) => Number(step))).toEqual(EVAL_STEPS);
    for (const [i, [, loss, margin, accuracy]] of rows.entries()) {
      expectShown(loss, log.evals[i].eval_loss, 'held-out loss');
      expectShown(margin, log.evals[i]['eval_rewards/margins'], 'held-out margin');
      expectShown(accuracy, log.evals[i]['eval_rewards/accuracies'], 'held-out accuracy');
    }
  });

  it('gives the merged model and the adapter as zips that hold base + s·B·A', async () => {
    await studio.goTo('Export');
    await studio.page.getByLabel(/^F32/).check();
    const merged = await studio.download('Download merged model as zip');
    const adapter = await studio.download('Download adapter as zip');
    expect([merged.name, adapter.name]).toEqual(['stories-260k-orpo.zip', 'stories-260k-orpo-adapter.zip']);
    await studio.page.getByRole('button', { name: /^Export ?, done/ }).waitFor();
    for (const [part, { bytes, name }] of Object.entries({ merged, adapter })) {
      for (const [path, file] of unzip(bytes)) {
        const [folder, ...rest] = path.split('/');
        expect(folder).toBe(name.replace('.zip', ''));
        written[part as keyof typeof written].set(rest.join('/'), file);
      }
    }
    const config = JSON.parse(text(written.adapter.get('adapter_config.json')!));
    expect(config).toMatchObject({ r: hparams.lora_r, lora_alpha: hparams.lora_alpha, peft_type: 'LORA' });
    const scale = config.lora_alpha / config.r;
    const base = readF32(await fixture('public/models/stories-260k/model.safetensors'));
    const low = readF32(written.adapter.get('adapter_model.safetensors')!);
    const whole = readF32(written.merged.get('model.safetensors')!);
    expect([...whole.keys()].sort()).toEqual([...base.keys()].sort());
    let changed = 0;
    for (const [name, { shape, values }] of base) {
      const ours = whole.get(name)!;
      expect(ours.shape, name).toEqual(shape);
      const key = `base_model.model.${name.replace(/\.weight$/, '')}`;
      const [a, b] = [low.get(`${key}.lora_A.weight`), low.get(`${key}.lora_B.weight`)];
      if (!a || !b) {
        expect(Buffer.from(ours.values.buffer).equals(Buffer.from(values.buffer)), `${name} is as in the base`).toBe(
          true,
        );
        continue;
      }
      const delta = loraDelta(a, b, scale);
      // The product, its scaling and the sum are each rounded once to float32.
      let worst = 0;
      for (let i = 0; i < values.length; i++) {
        const size = Math.abs(delta[i]) + Math.abs(values[i] + delta[i]) + 1e-30;
        worst = Math.max(worst, Math.abs(ours.values[i] - (values[i] + delta[i])) / (size * 2 ** -23));
      }
      expect(worst, `${name}: distance from base + s·B·A in units of float32 rounding`).toBeLessThan(1.01);
      expect(
        delta.some((d) => Math.abs(d) > 1e-5),
        `${name} was trained`,
      ).toBe(true);
      changed++;
    }
    expect(changed * 2, 'every adapter tensor went into a weight').toBe(low.size);
    expect(changed).toBe(5 * 7);
  });

  it('writes the same files into a folder', async () => {
    await studio.page.getByRole('button', { name: 'Save merged model to a folder' }).click();
    await studio.page.getByText(/folder “chosen”$/).waitFor();
    await studio.page.getByRole('button', { name: 'Save adapter to a folder' }).click();
    await expect.poll(() => studio.page.getByText(/folder “chosen”$/).count()).toBe(2);
    const folder = await readFolder(studio.page, 'chosen');
    const expected = Object.entries(written).flatMap(([part, files]) =>
      [...files].map(([name, bytes]) => [
        `stories-260k-orpo${part === 'merged' ? '' : '-adapter'}/${name}`,
        sha256(bytes),
      ]),
    );
    expect(folder).toEqual(Object.fromEntries(expected));
  });

  it('trains the adapter further: a run starts from PEFT files that are chosen', { timeout: RUN_MS }, async () => {
    const { page } = studio;
    await studio.settings({ max_steps: 2, lora_r: 4 });
    const card = page.getByRole('region', { name: 'Start from' });
    const file = (name: string, mimeType: string) => ({
      ...{ name, mimeType },
      buffer: Buffer.from(written.adapter.get(name)!),
    });
    await card
      .getByLabel('Choose a PEFT adapter')
      .setInputFiles([
        file('adapter_model.safetensors', 'application/octet-stream'),
        file('adapter_config.json', 'application/json'),
      ]);
    await card.getByText(/^The adapter of .*: rank \d+, alpha \d+\. Its optimizer starts afresh\.$/).waitFor();
    expect(await page.getByLabel(/\blora_r$/).inputValue()).toBe(String(hparams.lora_r));
    await page.getByRole('complementary', { name: 'Plan of the run' }).getByText(/^2 \(/).waitFor();
    await studio.start();
    expect(await studio.ended()).toBe('Finished');
    await studio.goTo('Export');
    const lines = text((await studio.download('Download log as JSONL')).bytes)
      .trim()
      .split('\n');
    further = lines.map((line) => JSON.parse(line)).filter((record) => 'loss' in record);
    expect(further.map(({ step }) => step)).toEqual([1, 2]);
    // The same batch as the first run's first, by what that run has learnt.
    expect(further[0].loss).toBeLessThan(log.steps[0].loss);
    await studio.goTo('Settings');
    await card.getByRole('button', { name: 'Start afresh instead' }).click();
    await card.getByText(/^A fresh adapter\./).waitFor();
  });

  it('wrote only what a visitor may expect, and asked nobody else', () => {
    expect(quiet(visited, browser)).toEqual([]);
    expect(site.requests.filter((path) => path.includes('..') || path.startsWith('/'))).toEqual([]);
  });
});

describe('live logging to Weights & Biases', () => {
  it('sends what the log has, and a server’s faults do not hold the run up', { timeout: RUN_MS }, () =>
    logsLive(studio),
  );
});

describe('what the page computed, under Node', () => {
  const run = async (): Promise<SameRun> => ({ files: await baseFiles(), rows: ROWS, evalFraction: 0.25, hparams });

  it('gives the same log to 1e-6', { timeout: RUN_MS }, async () => {
    const { steps, evals } = await trainInNode(await run());
    const far: string[] = [];
    const compare = (ours: object, theirs: object, step: number) => {
      for (const [key, value] of Object.entries(theirs) as [string, number][]) {
        const here = (ours as Record<string, number>)[key];
        // Differences of near-equal sums (margins, log odds) carry the rounding of what they are made of.
        const size = Math.max(Math.abs(value), /loss|logps|logits|epoch|step/.test(key) ? 0 : 1);
        if (!(Math.abs(here - value) <= 1e-6 * size)) far.push(`step ${step} ${key}: ${here} and ${value}`);
      }
    };
    for (const [i, record] of log.steps.entries()) compare(steps[i], record, i + 1);
    for (const [i, record] of log.evals.entries()) compare(evals[i], record, record.step);
    expect(far).toEqual([]);
    expect([steps.length, evals.length]).toEqual([log.steps.length, log.evals.length]);
  });

  it('gives the same steps from the same adapter to 1e-6', { timeout: RUN_MS }, async () => {
    const start = await readAdapter(memorySource(written.adapter.get('adapter_model.safetensors')!));
    const { steps } = await trainInNode({ ...(await run()), hparams: { ...hparams, max_steps: 2 }, start });
    for (const [i, { loss, grad_norm }] of steps.entries()) {
      expect(Math.abs(further[i].loss / loss - 1), `loss of step ${i + 1}`).toBeLessThan(1e-6);
      expect(Math.abs(further[i].grad_norm / grad_norm - 1), `gradient of step ${i + 1}`).toBeLessThan(1e-5);
    }
  });

  it('opens merged model and adapter again, with the same held-out loss to 1e-5', { timeout: RUN_MS }, async () => {
    const tensors = await readAdapter(memorySource(written.adapter.get('adapter_model.safetensors')!));
    const on = await evaluateInNode(await run(), tensors);
    const merged = await evaluateInNode({ ...(await run()), files: memoryFiles(Object.fromEntries(written.merged)) });
    const untrained = await evaluateInNode(await run());
    expect(Math.abs(merged.eval_loss / on.eval_loss - 1)).toBeLessThan(1e-5);
    expect(Math.abs(on.eval_loss / log.evals[1].eval_loss - 1)).toBeLessThan(1e-6);
    expect(untrained.eval_loss / on.eval_loss).toBeGreaterThan(1.01);
  });
});
