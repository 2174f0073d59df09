/**
 * npm run -s page-job -- --model DIR [--source hub|url] [--site DIR] [--backends auto|indexeddb|opfs[,…]] [--steps 10]
 *                        [--max-length 1024] [--pairs 2] [--data FILE] [--dtype BF16|F32] [--no-export] [--load-only] [--keep-16-bit] [--software]
 *                        [--chrome PATH] [--chrome-args "…"] [--profile DIR] [--timeout SECONDS]
 *
 * Measures the page in Chromium on this machine's GPU with a model of any size. The model's folder is served by a local
 * stand-in for the Hub (or as a plain web folder), and the page does the rest as a visitor does: it downloads the model into
 * its storage, trains, merges into a private folder, opens the merged model again and compares the held-out loss, and is
 * closed and opened to load the stored model to its first step. For each backend it prints one JSON line: seconds, MB/s,
 * the page's animation frames while nothing runs and while it trains, and the most memory of page, worker and GPU, of
 * every stage. Status 1 when a stage fails; the console is printed then.
 *
 * `node scripts/run.mjs page-job --bundle-only` leaves build/cli/page-job.mjs, which needs playwright-core beside it, a
 * Chromium and a built site (`npm run build`).
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { filesOfFolder } from '../tests/support/hub/repo';
import { serveHub } from '../tests/support/hub/server';
import { serveSite } from '../tests/support/site';
import type { BackendChoice } from './page-job/choices';
import { GPU_ARGS, QUIET_ARGS, SOFTWARE_ARGS } from './page-job/flags';
import { type JobOptions, PageJob } from './page-job/job';
import { randomRows } from './page-job/rows';

const HELD_OUT = 2;

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    source: { type: 'string', default: 'hub' },
    site: { type: 'string', default: 'dist' },
    backends: { type: 'string', default: 'auto' },
    steps: { type: 'string', default: '10' },
    'max-length': { type: 'string', default: '1024' },
    pairs: { type: 'string', default: '2' },
    data: { type: 'string' },
    dtype: { type: 'string', default: 'BF16' },
    'no-export': { type: 'boolean', default: false },
    'load-only': { type: 'boolean', default: false },
    'keep-16-bit': { type: 'boolean', default: false },
    software: { type: 'boolean', default: false },
    chrome: { type: 'string', default: process.env.CHROME_PATH },
    'chrome-args': { type: 'string', default: '' },
    profile: { type: 'string' },
    timeout: { type: 'string', default: '1200' },
  },
});
const say = (line: string) => process.stderr.write(`${line}\n`);
if (!values.model || !values.chrome) {
  say('page-job: --model DIR and --chrome PATH (or CHROME_PATH) are needed');
  process.exit(2);
}

const name = basename(resolve(values.model));
const [steps, length, pairs] = [values.steps, values['max-length'], values.pairs].map(Number);
const rowCount = steps * pairs + HELD_OUT;
// A word is about one token and a bit; a little more than fits is cut.
const rows = values.data ? await readFile(values.data, 'utf8') : randomRows(rowCount, Math.ceil(length * 0.45));
const dataRows = values.data ? rows.trim().split('\n').length : rowCount;

say('hashing the model, as its host would have');
const hub = await serveHub();
hub.add(`local/${name}`, await filesOfFolder(values.model, (file) => !/^(?:offer|manifest)\.json$/u.test(file)));
const site = await serveSite({ folder: resolve(values.site), hubUrl: hub.url });
// The CDN is another origin, as the Hub's is.
const source: JobOptions['source'] =
  values.source === 'url'
    ? { kind: 'url', name: `${hub.url}/local/${name}/resolve/main` }
    : { kind: 'hub', name: `local/${name}` };

async function runOn(backend: BackendChoice): Promise<void> {
  const profile = values.profile ?? (await mkdtemp(join(tmpdir(), 'page-job-')));
  const args = [
    ...QUIET_ARGS,
    '--enable-unsafe-webgpu',
    ...(values.software ? SOFTWARE_ARGS : GPU_ARGS),
    ...values['chrome-args'].split(' ').filter(Boolean),
  ];
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: values.chrome,
    args,
    viewport: { width: 1440, height: 900 },
    acceptDownloads: true,
  });
  let job: PageJob | null = null;
  try {
    job = await PageJob.open(context, {
      url: site.url,
      source,
      rows,
      rowCount: dataRows,
      backend,
      settings: {
        per_device_train_batch_size: pairs,
        gradient_accumulation_steps: 1,
        max_prompt_length: Math.floor(length / 2),
        max_length: length,
      },
      steps,
      quantize: !values['keep-16-bit'],
      doExport: !values['no-export'],
      loadOnly: values['load-only'],
      dtype: values.dtype === 'F32' ? 'F32' : 'BF16',
      timeout: Number(values.timeout) * 1000,
      onStage: (stage, result) => say(`${stage}: ${JSON.stringify(result)}`),
    });
    const result = await job.run();
    process.stdout.write(`${JSON.stringify({ browser: context.browser()?.version(), ...result })}\n`);
  } catch (error) {
    for (const line of job?.said ?? []) say(line);
    throw error;
  } finally {
    await context.close();
    if (!values.profile) await rm(profile, { recursive: true, force: true });
  }
}

try {
  for (const backend of values.backends.split(',') as BackendChoice[]) await runOn(backend);
} catch (error) {
  say(String(error));
  process.exitCode = 1;
} finally {
  await site.close();
  await hub.close();
}
