/** One whole job on the page, as a visitor does it, with the time and memory of each stage. */
import type { BrowserContext, Page } from 'playwright-core';
import { StudioPage } from '../../tests/page/support/studio';
import { type BackendChoice, choosePrivateFolder, prefer } from './choices';
import { framesBetween, watchFrames } from './frames';
import { bytesOf, type MemoryPeak, watchMemory } from './memory';
import { answered, type Phase, readTap, type Tapped, tapWorker } from './tap';

export interface JobOptions {
  url: string;
  /** As it is typed on the tab: a repository of the Hub the page knows, or an address. */
  source: { kind: 'hub' | 'url'; name: string };
  rows: string;
  rowCount: number;
  backend: BackendChoice;
  /** Settings by name, typed into the page. */
  settings: Record<string, number>;
  steps: number;
  /** 16-bit weights become NF4 while loading. */
  quantize: boolean;
  doExport: boolean;
  /** Only downloads, and loads once more from storage. */
  loadOnly: boolean;
  /** Of the merged weights. */
  dtype: 'BF16' | 'F32';
  /** Milliseconds that one stage may take. */
  timeout: number;
  /** Told of each stage once it has ended. */
  onStage?(name: string, result: object): void;
}

const seconds = (ms: number) => Math.round(ms) / 1000;
const HELD_OUT = 2;

/** Rates of the last load. */
function loadFacts({ phases }: Tapped, from: number, to: number) {
  const rate = (name: string) => {
    const phase = phases[name];
    if (!phase || phase.last <= phase.first) return null;
    const bytes = phase.bytes - phase.firstBytes;
    return {
      seconds: seconds(phase.last - phase.first),
      mbPerSecond: Math.round(bytes / (phase.last - phase.first) / 1e3),
    };
  };
  return {
    seconds: seconds(to - from),
    download: rate('downloading'),
    toGpu: rate('uploading'),
    gpuBytes: phases.uploading?.totalBytes ?? null,
  };
}

export class PageJob {
  readonly #options: JobOptions;
  readonly #studio: StudioPage;
  readonly #page: Page;
  /** Of the worker's memory while something is watched; on this program's clock. */
  #samples: { time: number; bytes: number }[] = [];
  /** Everything that the console said. */
  readonly said: string[] = [];

  private constructor(page: Page, options: JobOptions) {
    this.#options = options;
    this.#page = page;
    this.#studio = new StudioPage(page);
    page.on('console', (message) => this.said.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => this.said.push(`uncaught: ${error}`));
  }

  /** Opens the page and waits until it stands, with the small model it loads unasked. */
  static async open(context: BrowserContext, options: JobOptions): Promise<PageJob> {
    await context.addInitScript(tapWorker);
    await context.addInitScript(choosePrivateFolder);
    const job = new PageJob(await context.newPage(), options);
    await job.#page.goto(options.url);
    await job.#studio.modelLoaded();
    await prefer(job.#page, options.backend);
    return job;
  }

  /** The whole job. */
  async run() {
    const { doExport, backend, source, loadOnly } = this.#options;
    const began = performance.now();
    const load = await this.#watched('load', () => this.#load());
    const storage = await this.#storage();
    if (loadOnly)
      return {
        backend,
        source: source.name,
        load,
        storage,
        reload: await this.#watched('reload', () => this.#loadAgain()),
      };
    const train = await this.#watched('train', () => this.#train());
    const merged = doExport ? await this.#watched('export', () => this.#export()) : null;
    const reopened = doExport ? await this.#watched('reopen', () => this.#reopen(train.evalLoss)) : null;
    const reload = await this.#watched('reload', () => this.#reload());
    const wallSeconds = seconds(performance.now() - began);
    return { backend, source: source.name, load, storage, train, export: merged, reopened, reload, wallSeconds };
  }

  async #watched<T extends object>(name: string, work: () => Promise<T>): Promise<T & { memory: MemoryPeak }> {
    this.#samples = [];
    const stop = await watchMemory(this.#page, (usage) =>
      this.#samples.push({ time: performance.now(), bytes: bytesOf(usage) }),
    );
    try {
      const result = { ...(await work()), memory: await stop() };
      this.#options.onStage?.(name, result);
      return result;
    } catch (error) {
      await stop();
      throw error;
    }
  }

  /** The worker's largest memory in each phase of the last load. */
  async #memoryByPhase(phases: Tapped['phases']): Promise<Record<string, number>> {
    const here = performance.now();
    const ahead = (await this.#page.evaluate(() => performance.now())) - here;
    const within = ({ first, last }: Phase) =>
      this.#samples.filter(({ time }) => time + ahead >= first && time + ahead <= last).map(({ bytes }) => bytes);
    return Object.fromEntries(Object.entries(phases).map(([name, phase]) => [name, Math.max(0, ...within(phase))]));
  }

  async #tab(name: string): Promise<void> {
    await this.#studio.goTo('Model');
    await this.#page.getByRole('button', { name, exact: true }).click();
  }

  async #load() {
    const { source, quantize, timeout } = this.#options;
    const hub = source.kind === 'hub';
    await this.#tab(hub ? 'Hugging Face' : 'Web address');
    await this.#page.getByLabel(hub ? 'Model on the Hub' : 'Address of the model’s folder').fill(source.name);
    await this.#page.getByRole('button', { name: 'Look it up' }).click();
    const button = this.#page.getByRole('button', { name: /^Download .* and load$/ });
    await button.waitFor({ timeout });
    await this.#quantize(quantize);
    const { start, end } = await answered(this.#page, 'loadModel', timeout, () => button.click());
    const tapped = await readTap(this.#page);
    return { ...loadFacts(tapped, start, end), workerByPhase: await this.#memoryByPhase(tapped.phases) };
  }

  async #quantize(wanted: boolean): Promise<void> {
    const toggle = this.#page.getByLabel('Quantise to NF4 while loading');
    if (await toggle.count()) await toggle.setChecked(wanted);
  }

  /** Speed of each backend, by the page's own measurement. */
  async #storage() {
    await this.#page.getByRole('button', { name: 'Storage', exact: true }).click();
    const measure = this.#page.getByRole('button', { name: 'Measure now' });
    await answered(this.#page, 'measureStorage', this.#options.timeout, () => measure.click());
    const { backends, items } = (await readTap(this.#page)).storage as {
      backends: { backend: string; speed: { readBytesPerSecond: number; writeBytesPerSecond: number } | null }[];
      items: { kind: string; name: string; bytes: number; backend: string }[];
    };
    const mb = (rate = 0) => Math.round(rate / 1e6);
    return {
      speeds: backends.map(({ backend, speed }) => ({
        backend,
        readMbPerSecond: mb(speed?.readBytesPerSecond),
        writeMbPerSecond: mb(speed?.writeBytesPerSecond),
      })),
      items: items.map(({ kind, name, bytes, backend }) => ({ kind, name, bytes, backend })),
    };
  }

  async #data(): Promise<void> {
    const { rows, rowCount } = this.#options;
    await this.#studio.drop('pairs.jsonl', rows);
    await this.#studio.dataRead('pairs.jsonl', rowCount);
    await this.#studio.holdOut(Math.ceil((100 * HELD_OUT) / rowCount));
  }

  /** Types settings, starts, and waits for the end. */
  async #steps(count: number, more: Record<string, number> = {}) {
    const { settings, timeout } = this.#options;
    await this.#studio.settings({ ...settings, max_steps: count, eval_steps: count, ...more });
    await this.#studio.goTo('Train');
    const start = this.#page.getByRole('button', { name: /^Start (training|again)$/ });
    const run = await answered(this.#page, 'train', timeout, () => start.click({ timeout }));
    const { steps, evals } = await readTap(this.#page);
    const times = steps.map(({ time }, i) => seconds(time - (steps[i - 1]?.time ?? run.start)));
    return {
      seconds: seconds(run.end - run.start),
      firstStepSeconds: times[0],
      stepSeconds: times.slice(1),
      losses: steps.map(({ loss }) => loss),
      evalLoss: evals.at(-1)?.loss ?? null,
      firstStepAt: steps[0]?.time ?? Number.NaN,
      endAt: run.end,
    };
  }

  /** The run, and how the page draws before it and from its first step on. */
  async #train() {
    await this.#data();
    await this.#studio.goTo('Train');
    await watchFrames(this.#page);
    const now = () => this.#page.evaluate(() => performance.now());
    const idle = await now();
    await this.#page.waitForTimeout(2000);
    const idleFrames = await framesBetween(this.#page, idle, await now());
    const { endAt, ...run } = await this.#steps(this.#options.steps);
    return { ...run, idleFrames, frames: await framesBetween(this.#page, run.firstStepAt, endAt) };
  }

  async #export() {
    await this.#studio.goTo('Export');
    await this.#page
      .getByLabel(new RegExp(`^${this.#options.dtype}`))
      .first()
      .check();
    const trained = this.#page.getByLabel(/^The weights it was trained on/).first();
    if (await trained.count()) await trained.check(); // so that the losses can be compared
    const save = this.#page.getByRole('button', { name: 'Save merged model to a folder' });
    const { start, end } = await answered(this.#page, 'export', this.#options.timeout, () => save.click());
    const { exported } = await readTap(this.#page);
    const mbPerSecond = Math.round(exported!.bytes / (end - start) / 1e3);
    return { seconds: seconds(end - start), mbPerSecond, ...exported! };
  }

  /** The exported folder as a model: a step at rate 0 evaluates it, and the loss must be the trained one's. */
  async #reopen(trained: number | null) {
    const { timeout } = this.#options;
    await this.#tab('Folder');
    await this.#page.getByRole('button', { name: 'Choose a folder' }).click();
    const button = this.#page.getByRole('button', { name: 'Load', exact: true });
    await button.first().waitFor({ timeout });
    await this.#quantize(false);
    const { start, end } = await answered(this.#page, 'loadModel', timeout, async () => {
      await button.first().click();
      // The trained adapter is given up for it.
      const confirm = this.#page.getByRole('dialog').getByRole('button').last();
      await confirm.click({ timeout: 2000 }).catch(() => undefined);
    });
    const facts = loadFacts(await readTap(this.#page), start, end);
    const { evalLoss } = await this.#steps(1, { warmup_steps: 1 });
    return {
      ...facts,
      evalLoss,
      trainedEvalLoss: trained,
      difference: (evalLoss ?? Number.NaN) - (trained ?? Number.NaN),
    };
  }

  /** Closed and opened again: the stored model to the GPU. */
  async #loadAgain() {
    const { source, timeout } = this.#options;
    await this.#page.goto('about:blank');
    await this.#page.goto(this.#options.url);
    await this.#page.getByRole('button', { name: /^Model ?,/ }).waitFor();
    await this.#tab(source.kind === 'hub' ? 'Hugging Face' : 'Web address');
    const name = source.name.replace(/\/$/u, '').split('/').at(-1)!;
    const load = this.#page.getByRole('button', { name: `Load ${name}`, exact: true });
    // A small one may be loaded unasked, this one or another.
    await this.#page.waitForTimeout(3000);
    if (await load.count()) {
      await answered(this.#page, 'loadModel', timeout, () => load.click({ timeout }));
    } else await this.#page.getByRole('button', { name: `${name} is loaded`, exact: true }).waitFor({ timeout });
    const tapped = await readTap(this.#page);
    const { start, end } = tapped.requests.findLast(({ type }) => type === 'loadModel')!;
    return { ...loadFacts(tapped, start, end!), workerByPhase: await this.#memoryByPhase(tapped.phases) };
  }

  /** The same, and a run's first step. */
  async #reload() {
    const facts = await this.#loadAgain();
    await this.#data();
    const { firstStepSeconds, losses } = await this.#steps(1);
    return {
      ...facts,
      /** From the click on Load to the model, and from the click on Start to the first step. */
      toFirstStepSeconds: Math.round((facts.seconds + firstStepSeconds) * 1000) / 1000,
      firstStepSeconds,
      losses,
    };
  }
}
