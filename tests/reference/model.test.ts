import { describe, expect, test } from 'vitest';
import { relativeL2 } from '../support/close';
import { packPairs } from './batch';
import { gradientError } from './check';
import { adapterTensors, batchLoss, lossAndGradients, sequenceLogits } from './model';
import { randomAdapter, randomModel, randomPair, TINY_SHAPE } from './random-model';
import { createRng } from './rng';

const { vocab } = TINY_SHAPE;
const rng = createRng(31);
const model = randomModel(rng, TINY_SHAPE, false);
const options = { beta: 0.5 };
const micros = [
  [randomPair(rng, vocab, 4, 3, 5), randomPair(rng, vocab, 1, 2, 1)],
  [randomPair(rng, vocab, 3, 4, 3, 2), randomPair(rng, vocab, 2, 1, 6)],
];

describe('a whole tiny model', () => {
  test('LoRA gradients against finite differences', () => {
    const adapter = randomAdapter(createRng(32), model, { rank: 2, scale: 2 });
    const batch = packPairs(micros);
    const { grads } = lossAndGradients(model, adapter, batch, options);
    const tensors = adapterTensors(adapter);
    expect([...grads.keys()].sort()).toEqual([...tensors.keys()].sort());
    expect(tensors.size).toBe(2 * 7 * 2);
    for (const [key, tensor] of tensors) {
      const loss = () => batchLoss(model, adapter, batch, options).loss;
      expect(gradientError(loss, tensor, grads.get(key)!, { samples: 4 }), key).toBeLessThan(1e-6);
    }
  });

  test('a wrong gradient fails the same check', () => {
    const adapter = randomAdapter(createRng(32), model, { rank: 2, scale: 2 });
    const batch = packPairs(micros);
    const { grads } = lossAndGradients(model, adapter, batch, options);
    const [key, tensor] = [...adapterTensors(adapter)][0];
    const wrong = grads.get(key)!.map((g) => g * 1.01);
    const loss = () => batchLoss(model, adapter, batch, options).loss;
    expect(gradientError(loss, tensor, wrong, { samples: 4 })).toBeGreaterThan(1e-3);
  });

  test('DoRA magnitudes against finite differences, some projections without an adapter', () => {
    const targets = ['q_proj', 'v_proj', 'down_proj'] as const;
    const adapter = randomAdapter(createRng(33), model, { rank: 2, scale: 2, dora: true, targets });
    const batch = packPairs(micros);
    const { grads } = lossAndGradients(model, adapter, batch, options);
    expect(grads.size).toBe(2 * 3 * 3);
    for (const [key, tensor] of adapterTensors(adapter)) {
      if (!key.endsWith('magnitude_vector')) continue;
      const loss = () => batchLoss(model, adapter, batch, options).loss;
      expect(gradientError(loss, tensor, grads.get(key)!, { samples: 4 }), key).toBeLessThan(1e-6);
    }
  });

  test('a shared prefix changes neither loss nor gradients', () => {
    const adapter = randomAdapter(createRng(34), model, { rank: 3, scale: 1 });
    for (const nllOnPrompt of [true, false]) {
      const shared = packPairs(micros, { nllOnPrompt });
      const apart = packPairs(micros, { nllOnPrompt, sharePrefix: false });
      expect(shared.tokens.length).toBeLessThan(apart.tokens.length);
      const a = lossAndGradients(model, adapter, shared, options);
      const b = lossAndGradients(model, adapter, apart, options);
      expect(a.loss).toBeCloseTo(b.loss, 12);
      expect(a.micro).toHaveLength(2);
      for (const [key, grad] of a.grads) expect(relativeL2(grad, b.grads.get(key)!), key).toBeLessThan(1e-11);
    }
  });

  test('micro-batches in one packed pass are the sum of their own passes', () => {
    const adapter = randomAdapter(createRng(35), model, { rank: 2, scale: 1 });
    const whole = lossAndGradients(model, adapter, packPairs(micros), options);
    const parts = micros.map((pairs) =>
      lossAndGradients(model, adapter, packPairs([pairs]), { ...options, groupSize: micros.length }),
    );
    expect(whole.loss).toBeCloseTo(parts[0].loss + parts[1].loss, 12);
    for (const [key, grad] of whole.grads) {
      const other = parts[1].grads.get(key)!;
      const sum = parts[0].grads.get(key)!.map((g, i) => g + other[i]);
      expect(relativeL2(grad, sum), key).toBeLessThan(1e-11);
    }
  });

  test('sequenceLogits is causal and agrees with the packed log-probabilities', () => {
    const adapter = randomAdapter(createRng(36), model, { rank: 2, scale: 1 });
    const pair = micros[0][0];
    const ids = pair.rejected_input_ids;
    const logits = sequenceLogits(model, adapter, ids);
    const shorter = sequenceLogits(model, adapter, ids.slice(0, 5));
    expect(relativeL2(shorter, logits.subarray(0, shorter.length))).toBeLessThan(1e-14);
    const batch = packPairs([[pair]]);
    const { logps } = batchLoss(model, adapter, batch, options);
    const rejected = [...logps].filter((_, i) => batch.entries[i].role === 'rejected');
    rejected.forEach((lp, i) => {
      const t = ids.length - rejected.length + i - 1;
      const row = logits.subarray(t * vocab, (t + 1) * vocab);
      const sum = row.reduce((s, z) => s + Math.exp(z), 0);
      expect(lp).toBeCloseTo(row[ids[t + 1]] - Math.log(sum), 12);
    });
  });
});
