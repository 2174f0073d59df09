/** Runs with 8-bit moments, DoRA, dropout and without checkpointing: seeded, and the same to the bit where they should be. */
import { describe, expect, it } from 'vitest';
import type { AdapterTensor } from '../../src/formats/peft';
import { downloadAdapter, initialAdapter, uploadAdapter } from '../../src/model/adapter';
import { Session } from '../../src/model/session';
import { DEFAULT_HPARAMS, DEFAULT_NF4, type HParams } from '../../src/train/hparams';
import { quantizeOptions } from '../../src/train/nf4';
import { parseHParams } from '../../src/train/parse-hparams';
import { planTraining } from '../../src/train/run-plan';
import { Trainer } from '../../src/train/trainer';
import { device } from '../model/support';
import { checked } from '../support/gpu';
import { open, pairs } from './support';

const LIMITS = device.limits;

/** Losses and final adapter of a short run. */
async function train(changes: Partial<HParams>, mostTokens?: number) {
  const base = { ...DEFAULT_HPARAMS, learning_rate: 1e-2, per_device_train_batch_size: 2, lora_r: 4, max_steps: 4 };
  const { hparams } = parseHParams({ ...base, gradient_accumulation_steps: 2, eval_steps: 2, ...changes });
  const plan = planTraining(open.config, LIMITS, open.gpu.profile, hparams, pairs, pairs.slice(0, 4), mostTokens);
  return checked(device, async () => {
    const session = await Session.create(open, plan.lora, plan.capacity, hparams);
    expect(session.memory.specs).toEqual(plan.buffers);
    uploadAdapter(session, initialAdapter(plan.lora, 3));
    const trainer = new Trainer(session, plan);
    expect(await trainer.run()).toBe(true);
    const adapter = await downloadAdapter(session);
    session.destroy();
    return { losses: trainer.log.map((r) => r.loss), evals: trainer.evalLog, adapter };
  });
}

const values = (adapter: ReadonlyMap<string, AdapterTensor>) =>
  [...adapter.keys()].sort().map((name) => [name, [...adapter.get(name)!.values]]);

describe('gradient checkpointing changes no bit', () => {
  it.each([
    ['adamw_8bit', { optim: 'adamw_8bit' }],
    ['use_dora', { use_dora: true, optim: 'adamw_8bit' }],
    ['lora_dropout', { lora_dropout: 0.3, disable_dropout: false }],
  ] as const)('%s', async (_, changes) => {
    const on = await train({ ...changes, gradient_checkpointing: true });
    const off = await train({ ...changes, gradient_checkpointing: false });
    expect(on.losses).toEqual(off.losses);
    expect(on.evals).toEqual(off.evals);
    expect(values(on.adapter)).toEqual(values(off.adapter));
    expect(new Set(on.losses).size).toBe(4);
  });
});

describe('dropout', () => {
  const acting = { lora_dropout: 0.3, disable_dropout: false };

  it('does nothing while disable_dropout is on, as in TRL', async () => {
    const none = await train({});
    expect((await train({ lora_dropout: 0.3 })).losses).toEqual(none.losses);
    const on = await train(acting);
    // B is zero in the first step, so only later losses can differ.
    expect(on.losses[0]).toBe(none.losses[0]);
    expect(on.losses.slice(1)).not.toEqual(none.losses.slice(1));
  });

  it('follows the tokens of a step, not the passes they are spread over', async () => {
    const one = await train(acting);
    const many = await train(acting, 1);
    expect(one.losses.length).toBe(4);
    for (const [i, loss] of one.losses.entries()) expect(Math.abs(many.losses[i] - loss)).toBeLessThan(1e-5 * loss);
  });

  it('is off in evaluation', async () => {
    const frozen = { ...acting, learning_rate: 0 };
    const { evals } = await train(frozen);
    expect(evals.map((e) => e.eval_loss)).toEqual((await train({ learning_rate: 0 })).evals.map((e) => e.eval_loss));
  });

  it('is refused together with DoRA, whose base would need the dropped input too', () => {
    expect(() => parseHParams({ use_dora: true, lora_dropout: 0.1, disable_dropout: false })).toThrow(/use_dora/);
    expect(() => parseHParams({ lora_dropout: 1 })).toThrow(/lora_dropout must be below 1/);
    expect(parseHParams({ use_dora: true, lora_dropout: 0.1 }).hparams.lora_dropout).toBe(0.1);
  });
});

describe('nf4 settings', () => {
  it('are read with the names of the recorded runs, and refuse what cannot be done', () => {
    expect(parseHParams({}).nf4).toEqual(DEFAULT_NF4);
    expect(quantizeOptions(DEFAULT_NF4)).toBeUndefined();
    const recorded = { enabled: true, double_quant: true, blocksize: 64, nested_blocksize: 256, round_dtype: null };
    const { nf4, unknown } = parseHParams({ nf4: { ...recorded, source_dtype: 'float16', skip_modules: ['o_proj'] } });
    expect(unknown).toEqual([]);
    expect(quantizeOptions(nf4)).toEqual({ doubleQuant: true, sourceDtype: 'F16', skipModules: ['o_proj'] });
    for (const wrong of [{ blocksize: 128 }, { round_dtype: 'bfloat16' }, { source_dtype: 'int8' }, { enabled: 1 }]) {
      expect(() => parseHParams({ nf4: wrong })).toThrow(new RegExp(`nf4.${Object.keys(wrong)[0]}`));
    }
  });
});
