/** Kept runs through the engine's requests: pausing, single steps, storage gone bad, files out and in, a given adapter. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { memorySource } from '../../src/formats/bytes';
import { readAdapter, writeAdapter, writeAdapterConfig } from '../../src/formats/peft';
import { pairsFingerprint, pairTensors } from '../../src/runs/pairs-file';
import type { StepRecord, WorkerEvent } from '../../src/worker/protocol';
import { jsonl, shortRows } from '../page/support/rows';
import { unzip } from '../support/unzip';
import { trainsUnkept } from './not-kept';
import { loadModel, loadRows, type OpenStudio, openPlace, openStudio, type Place, runSettings } from './studio-support';
import { textOf } from './support';

const STEPS = 6;
const SETTINGS = runSettings({
  max_steps: STEPS,
  per_device_train_batch_size: 1,
  gradient_accumulation_steps: 1,
  learning_rate: 1e-3,
  max_length: 40,
  max_prompt_length: 20,
  lora_r: 4,
  lora_alpha: 8,
  save_steps: 2,
});

let place: Place;
let open: OpenStudio;
let onStep: (record: StepRecord) => void = () => {};
let whole: StepRecord[];
let wholeId: string;

const steps = (from = 0) => open.events.slice(from).flatMap((e) => (e.event === 'step' ? [e.record] : []));
const last = <K extends WorkerEvent['event']>(event: K) =>
  open.events.findLast((e) => e.event === event) as Extract<WorkerEvent, { event: K }>;
const until = async (state: string) => {
  while (last('progress').progress.state !== state) await new Promise((done) => setTimeout(done, 2));
};

beforeAll(async () => {
  place = await openPlace();
  open = await openStudio(place, { listen: (event) => event.event === 'step' && onStep(event.record) });
  await loadModel(open);
  await loadRows(open, jsonl(shortRows(6)));
  await open.studio.handlers.train(SETTINGS);
  whole = steps();
  wholeId = last('runKept').runId;
});
afterAll(async () => {
  open?.device().destroy();
  await place?.close();
});

test('a finished run is listed with its newest checkpoints, result and fingerprint', async () => {
  const [{ record, checkpoints, live }] = await open.studio.handlers.runs({});
  expect(record).toMatchObject({ id: wholeId, state: 'finished', step: STEPS, totalSteps: STEPS, error: null });
  expect(record.last).toEqual(whole.at(-1));
  expect(record.data.fingerprint).toMatch(/^[0-9a-f]{64}$/);
  expect(record.seconds).toBeGreaterThan(0);
  // save_total_limit is 2.
  expect(checkpoints).toEqual([4, 6]);
  expect(live).toBe(false);
  expect(await open.studio.handlers.runCurves({ id: wholeId })).toEqual({ steps: whole, evals: [], samples: [] });
});

test('pause, single step, resume: the same curve; a checkpoint at the pause', async () => {
  const { studio, events } = open;
  const from = events.length;
  onStep = ({ step }) => step === 3 && void studio.handlers.pause({});
  const run = studio.handlers.train(SETTINGS);
  await until('paused');
  onStep = () => {};
  const paused = last('progress').progress.step;
  expect(paused).toBeLessThan(STEPS);
  expect(last('checkpoint').step).toBe(paused);
  await studio.handlers.singleStep({});
  await until('running');
  await until('paused');
  expect(last('progress').progress.step).toBe(paused + 1);
  await studio.handlers.resume({});
  expect(await run).toMatchObject({ state: 'finished' });
  expect(steps(from)).toEqual(whole);
});

test('stopped while paused, the run is kept and goes on from there', async () => {
  const { studio, events } = open;
  const from = events.length;
  onStep = ({ step }) => step === 1 && void studio.handlers.pause({});
  const run = studio.handlers.train(SETTINGS);
  await until('paused');
  onStep = () => {};
  await studio.handlers.stop({});
  expect(await run).toMatchObject({ state: 'stopped' });
  const id = last('runKept').runId;
  const stopped = steps(from).length;
  await studio.handlers.continueRun({ id });
  expect(last('restored').curves.steps).toEqual(whole.slice(0, stopped));
  expect(steps(from)).toEqual(whole);
  // Over is over.
  await expect(studio.handlers.continueRun({ id })).rejects.toMatchObject({ code: 'run-over' });
});

/** Changes one byte of a checkpoint as a failing disk would. */
async function damage(id: string, step: number): Promise<void> {
  const file = `checkpoint-${step}.safetensors`;
  const database = await new Promise<IDBDatabase>((resolve) => {
    const request = indexedDB.open('runs');
    request.onsuccess = () => resolve(request.result);
  });
  const chunks = database.transaction('chunks', 'readwrite').objectStore('chunks');
  await new Promise<void>((resolve) => {
    const request = chunks.get([id, file, 0]);
    request.onsuccess = () => {
      new Uint8Array(request.result)[5000] ^= 1;
      chunks.put(request.result, [id, file, 0]).onsuccess = () => resolve();
    };
  });
  database.close();
}

test('a damaged checkpoint is refused and the one before it used; with none left it starts over, to the same curve', async () => {
  const { studio } = open;
  const run = await studio.handlers.exportKept({ id: wholeId, form: 'checkpoint' });
  const file = new File([await new Response(run.download!.stream as never).arrayBuffer()], run.download!.name);
  const curves = async (id: string, steps: number[]) => {
    for (const step of steps) await damage(id, step);
    const from = open.events.length;
    await studio.handlers.continueRun({ id });
    const { curves, damaged } = last('restored');
    expect(damaged).toEqual([...steps].reverse());
    expect([
      ...curves.steps,
      ...(steps.length ? open.events.slice(from).flatMap((e) => (e.event === 'step' ? [e.record] : [])) : []),
    ]).toEqual(whole);
    return curves.steps.length;
  };
  expect(await curves(wholeId, [6])).toBe(4);
  const { record } = await studio.handlers.importCheckpoint({ file });
  expect(await curves(record.id, [6])).toBe(0);
});

test('a checkpoint file goes out and comes in, with pairs and settings; a broken one does not', async () => {
  const { studio } = open;
  const { download } = await studio.handlers.exportKept({ id: wholeId, form: 'checkpoint' });
  expect(download!.name).toBe('stories-260k-checkpoint-6.safetensors');
  const bytes = await new Response(download!.stream as never).arrayBuffer();
  const { record } = await studio.handlers.importCheckpoint({ file: new File([bytes], 'a.safetensors') });
  expect(record).toMatchObject({ state: 'finished', step: STEPS, settings: SETTINGS });
  expect(record.id).not.toBe(wholeId);
  expect((await studio.handlers.runCurves({ id: record.id })).steps).toEqual(whole);
  expect(await studio.handlers.openRun({ id: record.id })).toMatchObject({ state: 'finished', step: STEPS });
  const log = await studio.handlers.export({ kind: 'log-jsonl', dtype: 'F32' });
  expect(
    (await textOf(log.download!.stream))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual(whole);
  const cut = new File([bytes.slice(0, -8)], 'cut.safetensors');
  await expect(studio.handlers.importCheckpoint({ file: cut })).rejects.toMatchObject({ code: 'bad-checkpoint' });
});

test('renamed, noted, deleted and brought back', async () => {
  const { changeRun } = open.studio.handlers;
  const find = (runs: Awaited<ReturnType<typeof changeRun>>) => runs.find(({ record }) => record.id === wholeId);
  expect(find(await changeRun({ id: wholeId, change: { name: 'Mine', notes: 'good' } }))!.record).toMatchObject({
    name: 'Mine',
    notes: 'good',
  });
  expect(find(await changeRun({ id: wholeId, change: { deletedAt: Date.now() } }))).toBeUndefined();
  expect(find(await changeRun({ id: wholeId, change: { deletedAt: null } }))!.record.name).toBe('Mine');
  await expect(changeRun({ id: 'no', change: {} })).rejects.toMatchObject({ code: 'unknown-run' });
});

test('a run starts from a PEFT adapter, kept from step 0 on; one that does not fit is refused', async () => {
  const { studio } = open;
  await studio.handlers.openRun({ id: wholeId });
  const { download } = await studio.handlers.exportKept({ id: wholeId, form: 'checkpoint' });
  expect(download).toBeDefined();
  const tensors = await adapterOfRun();
  const files = (r: number) => [
    new File([writeAdapter(tensors)], 'adapter_model.safetensors'),
    new File(
      [
        writeAdapterConfig({
          base_model_name_or_path: 'x',
          r,
          lora_alpha: 8,
          lora_dropout: 0,
          target_modules: SETTINGS.hparams.target_modules,
          use_rslora: false,
          use_dora: false,
        }),
      ],
      'adapter_config.json',
    ),
  ];
  await expect(studio.handlers.loadAdapter({ files: files(4).slice(1) })).rejects.toMatchObject({
    code: 'bad-adapter',
  });
  const adapter = await studio.handlers.loadAdapter({ files: files(4) });
  expect(adapter.hparams).toMatchObject({ lora_r: 4, lora_alpha: 8, use_dora: false });
  const from = open.events.length;
  onStep = ({ step }) => step === 1 && void studio.handlers.stop({});
  const started = runSettings({ ...SETTINGS.hparams, save_steps: 0 }, { startAdapter: adapter.sha256 });
  await studio.handlers.train(started);
  onStep = () => {};
  // It begins where the other run ended, not where that began.
  expect(steps(from)[0].loss).not.toBe(whole[0].loss);
  expect(open.events.slice(from).find((e) => e.event === 'checkpoint')).toMatchObject({ step: 0 });
  await studio.handlers.clearAdapter({});
  await expect(studio.handlers.train(started)).rejects.toMatchObject({ code: 'no-adapter' });
  await studio.handlers.loadAdapter({ files: files(4) });
  const wider = runSettings({ ...SETTINGS.hparams, lora_r: 8 }, { startAdapter: adapter.sha256 });
  await expect(studio.handlers.train(wider)).rejects.toThrow(/the settings ask for/);
});

/** The adapter that `export` would write now, as tensors. */
async function adapterOfRun() {
  const result = await open.studio.handlers.export({ kind: 'adapter', dtype: 'F32' });
  const zip = new Uint8Array(await new Response(result.download!.stream as never).arrayBuffer());
  const [, bytes] = [...unzip(zip)].find(([name]) => name.endsWith('adapter_model.safetensors'))!;
  return [...(await readAdapter(memorySource(bytes))).values()];
}

test('a hand-over folder: rows with the very tokens, the adapters, a script and configs that name the same job', async () => {
  const { studio } = open;
  const { record } = (await studio.handlers.runs({})).find((run) => run.record.id === wholeId)!;
  const { download } = await studio.handlers.handOver({ id: wholeId });
  const files = unzip(new Uint8Array(await new Response(download!.stream as never).arrayBuffer()));
  const text = (name: string) => new TextDecoder().decode(files.get(`stories-260k-orpo-job/${name}`));
  const rows = text('train.jsonl')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(rows).toHaveLength(record.data.trainPairs);
  // The oracle and the script take these four as they are; the studio's own fingerprint says that they are its pairs.
  expect(await pairsFingerprint(pairTensors({ train: rows, eval: [] }))).toBe(record.data.fingerprint);
  const source = shortRows(6).map(({ prompt }) => prompt);
  for (const { prompt } of rows) expect(source.some((whole) => whole.includes(prompt.trim().slice(0, 12)))).toBe(true);
  const job = JSON.parse(text('job.json'));
  expect(job).toMatchObject({
    start: 'adapter-init',
    first_loss: whole[0].loss,
    eval_pairs: 0,
    hparams: record.settings.hparams,
  });
  const { save_steps, ...others } = JSON.parse(text('hparams.json'));
  expect(save_steps).toBeUndefined();
  expect(record.settings.hparams).toMatchObject(others);
  for (const folder of [job.start, `adapter-step-${record.step}`]) {
    const adapter = await readAdapter(
      memorySource(files.get(`stories-260k-orpo-job/${folder}/adapter_model.safetensors`)!),
    );
    expect(adapter.get('base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight')!.shape).toEqual([4, 64]);
    expect(JSON.parse(text(`${folder}/adapter_config.json`))).toMatchObject({ r: 4, lora_alpha: 8, peft_type: 'LORA' });
  }
  expect(text('axolotl.yaml')).toMatch(/^rl: "orpo"$/m);
  expect(text('axolotl.yaml')).toMatch(/^learning_rate: 0\.001$/m);
  expect(text('llamafactory.yaml')).toMatch(/^pref_loss: "orpo"$/m);
  expect(JSON.parse(text('dataset_info.json')).studio_train.ranking).toBe(true);
  expect(text('train_trl.py')).toMatch(/^class StoredTokens\(ORPOTrainer\):$/m);
  expect(text('README.md')).toContain(`${record.step} of ${STEPS} steps`);
});

test('margins of every pair, the kernels of one step, and a probe that leaves nothing behind', async () => {
  const { studio, events } = open;
  const probe = await studio.handlers.probe(SETTINGS);
  expect(probe.secondsPerStep).toBeGreaterThan(0);
  expect(probe.totalSeconds).toBeCloseTo(STEPS * probe.secondsPerStep, 5);
  const from = events.length;
  onStep = ({ step }) => step === 2 && void studio.handlers.profileStep({});
  await studio.handlers.train(SETTINGS);
  onStep = () => {};
  expect(steps(from)).toEqual(whole);
  const margins = events.slice(from).filter((event) => event.event === 'margins');
  expect(margins.map(({ step }) => step)).toEqual(whole.map(({ step }) => step));
  for (const [i, { margins: values }] of margins.entries()) {
    expect(values[0]).toBeCloseTo(whole[i]['rewards/margins'], 6);
  }
  const kernels = last('kernels');
  expect(kernels.times.find(({ name }) => /attention/.test(name))!.ms).toBeGreaterThan(0);
  const gpu = kernels.times.reduce((sum, { ms }) => sum + ms, 0);
  expect(gpu).toBeLessThan(1.5 * kernels.milliseconds);
  const pair = await studio.handlers.runPair({ row: margins[0].rows[0] });
  expect(pair.chosen).not.toBe(pair.rejected);
  expect(shortRows(6).some(({ prompt }) => prompt.includes(pair.prompt.trim().slice(0, 12)))).toBe(true);
  await expect(studio.handlers.runPair({ row: 99 })).rejects.toMatchObject({ code: 'no-run' });
});

test('a run that storage refuses trains, and is logged where that is wanted', () => trainsUnkept(open, SETTINGS));
