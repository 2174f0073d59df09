/** A run's curves in the forms of other tools, read back by readers of others. */
import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { parseRunCard, writeRunCard } from '../../src/runs/run-card';
import { eventFile, eventFileName } from '../../src/runs/tensorboard';
import { trainerState } from '../../src/runs/trainer-state';
import { DEFAULT_HPARAMS } from '../../src/train/hparams';
import type { EvalRecord, StepRecord } from '../../src/train/records';
import type { KeptRecord } from '../../src/worker/protocol';

const METRICS = {
  nll_loss: 2.5,
  'rewards/chosen': -0.125,
  'rewards/rejected': -0.25,
  'rewards/accuracies': 0.75,
  'rewards/margins': 0.125,
  'logps/chosen': -1.25,
  'logps/rejected': -2.5,
  log_odds_ratio: -0.5,
  log_odds_chosen: 0.25,
  'logits/chosen': 1.5,
  'logits/rejected': 1.25,
};
const steps: StepRecord[] = [1, 2, 3, 300].map((step) => ({
  step,
  epoch: step / 200,
  loss: 3 / step,
  grad_norm: 1 / step,
  learning_rate: 1e-4,
  ...METRICS,
}));
const evalOf = (step: number, loss: number) =>
  ({
    step,
    eval_loss: loss,
    ...Object.fromEntries(Object.entries(METRICS).map(([name, value]) => [`eval_${name}`, value])),
  }) as EvalRecord;
const evals = [evalOf(2, 2), evalOf(300, 1.5)];

const record = {
  id: 'a',
  name: 'My run',
  notes: 'first',
  createdAt: Date.UTC(2026, 0, 2),
  updatedAt: 0,
  deletedAt: null,
  model: { id: 'm', title: 'M', format: 'F32', chatml: null, quantized: false, load: null },
  data: { name: 'd.jsonl', fingerprint: 'f', trainPairs: 4, evalPairs: 1 },
  settings: { hparams: { ...DEFAULT_HPARAMS, num_train_epochs: 2, eval_steps: 0.5 }, evalFraction: 0.1 },
  device: 'GPU',
  state: 'finished',
  step: 300,
  totalSteps: 400,
  seconds: 60,
  last: { loss: 0.01 },
  lastEval: null,
  error: null,
} satisfies KeptRecord;

test('TensorBoard: records with right checksums, and the scalars under the names of transformers', () => {
  const require = createRequire(import.meta.url);
  const { crc32c, maskCrc, readInt64 } = require('@roboflow/tfrecords/src/tensorFlowHelpers.js');
  const { BinaryReader } = require('google-protobuf');
  const file = Buffer.concat(eventFile({ steps, evals, began: 1000, seconds: 60 }));
  type Event = { wallTime: number; step: number; version?: string; values: Record<string, number> };
  const events: Event[] = [];
  for (let at = 0; at < file.length; ) {
    const header = file.subarray(at, at + 8);
    const length = readInt64(header);
    expect(file.readUInt32LE(at + 8)).toBe(maskCrc(crc32c(header)));
    const data = file.subarray(at + 12, at + 12 + length);
    expect(file.readUInt32LE(at + 12 + length)).toBe(maskCrc(crc32c(data)));
    at += 16 + length;
    const event: Event = { wallTime: 0, step: 0, values: {} };
    const reader = new BinaryReader(new Uint8Array(data));
    while (reader.nextField()) {
      const field = reader.getFieldNumber();
      if (field === 1) event.wallTime = reader.readDouble();
      else if (field === 2) event.step = reader.readInt64();
      else if (field === 3) event.version = reader.readString();
      else if (field === 5) {
        reader.readMessage(null, () => {
          while (reader.nextField()) {
            let tag = '';
            reader.readMessage(null, () => {
              while (reader.nextField()) {
                if (reader.getFieldNumber() === 1) tag = reader.readString();
                else event.values[tag] = reader.readFloat();
              }
            });
          }
        });
      }
    }
    events.push(event);
  }
  expect(events[0]).toEqual({ wallTime: 1000, step: 0, version: 'brain.Event:2', values: {} });
  expect(events.slice(1).map(({ step }) => step)).toEqual([1, 2, 2, 3, 300, 300]);
  expect(events[1].values).toMatchObject({
    'train/loss': 3,
    'train/rewards/margins': 0.125,
    'train/epoch': Math.fround(1 / 200),
  });
  expect(events[6].values).toMatchObject({ 'eval/loss': 1.5, 'eval/rewards/accuracies': 0.75 });
  expect(events[5].wallTime).toBe(1060);
  expect(eventFileName(1000.5)).toContain('tfevents.1000.');
});

test('trainer_state.json: the layout of transformers, valid JSON whatever the numbers', () => {
  const odd = [...steps, { ...steps[3], step: 301, log_odds_ratio: Number.NaN }];
  const state = JSON.parse(trainerState(record, odd, evals));
  expect(state).toMatchObject({ global_step: 301, epoch: 1.5, max_steps: 400, num_train_epochs: 2, eval_steps: 200 });
  expect(state).toMatchObject({ best_metric: 1.5, best_model_checkpoint: 'checkpoint-300', save_steps: 20 });
  expect(state.log_history.map((row: { step: number }) => row.step)).toEqual([1, 2, 2, 3, 300, 300, 301]);
  expect(state.log_history[0]).toEqual(steps[0]);
  expect(state.log_history[2]).toEqual({ epoch: 0.01, ...evals[0] });
  expect(state.log_history[6]).not.toHaveProperty('log_odds_ratio');
});

test('a run card comes back as it was; others are refused by name', () => {
  const card = parseRunCard(writeRunCard(record));
  expect(card).toMatchObject({ name: 'My run', notes: 'first', created: '2026-01-02T00:00:00.000Z', device: 'GPU' });
  expect(card.settings).toEqual(record.settings);
  expect(card.data).toEqual(record.data);
  expect(card.result).toMatchObject({ step: 300, last: { loss: 0.01 } });
  const broken = JSON.stringify({ ...JSON.parse(writeRunCard(record)), settings: { hparams: { beta: -1 } } });
  expect(() => parseRunCard(broken)).toThrow(/beta must be/);
  for (const text of ['{', '{"a":1}', '[]', 'null', JSON.stringify({ format: 'orpo-studio-run-card', version: 2 })]) {
    expect(() => parseRunCard(text)).toThrow(expect.objectContaining({ code: 'bad-run-card' }));
  }
});
