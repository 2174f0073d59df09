/** Small random models, adapters and pairs for checks; every number is a float32 value, so a GPU can hold the same. */
import type { TokenizedPair } from '../../src/data/types';
import { type LayerWeights, type LlamaShape, PROJECTIONS, type Projection, projectionShape } from './layer';
import { doraNorm } from './lora';
import type { Adapter, LlamaModel } from './model';
import type { Rng } from './rng';
import { ropeInvFreq } from './rope';

/** Two layers, grouped queries, head_dim 4, nothing a multiple of a tile. */
export const TINY_SHAPE: LlamaShape = {
  hidden: 16,
  intermediate: 22,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headDim: 4,
  vocab: 19,
  rmsEps: 1e-5,
};

export function randomModel(rng: Rng, shape: LlamaShape = TINY_SHAPE, tied = true): LlamaModel {
  const layers: LayerWeights[] = [];
  for (let i = 0; i < shape.layers; i++) {
    const projections = PROJECTIONS.map((name) => {
      const [out, inp] = projectionShape(shape, name);
      return [name, rng.normals(out * inp, 1 / Math.sqrt(inp))];
    });
    layers.push({
      ...Object.fromEntries(projections),
      input_layernorm: rng.uniforms(shape.hidden, 0.5, 1.5),
      post_attention_layernorm: rng.uniforms(shape.hidden, 0.5, 1.5),
    } as LayerWeights);
  }
  const embed = rng.normals(shape.vocab * shape.hidden, 0.7);
  return {
    shape,
    invFreq: ropeInvFreq(shape.headDim, 10_000),
    embed,
    layers,
    norm: rng.uniforms(shape.hidden, 0.5, 1.5),
    lmHead: tied ? embed : rng.normals(shape.vocab * shape.hidden, 0.5),
  };
}

export interface RandomAdapterOptions {
  rank: number;
  scale: number;
  dora?: boolean;
  targets?: readonly Projection[];
}

/** Random A and B (B not zero, so that every gradient is alive). */
export function randomAdapter(rng: Rng, model: LlamaModel, options: RandomAdapterOptions): Adapter {
  const { rank, scale, dora = false, targets = PROJECTIONS } = options;
  return model.layers.map((weights) => {
    const loras: Adapter[number] = {};
    for (const name of targets) {
      const [outFeatures, inFeatures] = projectionShape(model.shape, name);
      const lora = {
        a: rng.normals(rank * inFeatures, 1 / Math.sqrt(inFeatures)),
        b: rng.normals(outFeatures * rank, 0.3 / Math.sqrt(rank)),
        rank,
        scale,
      };
      if (!dora) {
        loras[name] = lora;
        continue;
      }
      const norm = doraNorm(weights[name], lora, { tokens: 0, inFeatures, outFeatures });
      loras[name] = { ...lora, magnitude: norm.map((n) => Math.fround(n * (0.8 + 0.4 * rng.uniform()))) };
    }
    return loras;
  });
}

/** A pair with a common prompt; answers differ in their first token unless `sharedAnswer` tokens are asked for. */
export function randomPair(
  rng: Rng,
  vocab: number,
  prompt: number,
  chosen: number,
  rejected: number,
  sharedAnswer = 0,
): TokenizedPair {
  const draw = (n: number) => Array.from({ length: n }, () => rng.int(vocab));
  const prefix = draw(prompt + sharedAnswer);
  const first = rng.int(vocab);
  const chosenIds = [...prefix, first, ...draw(chosen - sharedAnswer - 1)];
  const rejectedIds = [...prefix, (first + 1) % vocab, ...draw(rejected - sharedAnswer - 1)];
  const labels = (ids: number[]) => ids.map((id, t) => (t < prompt ? -100 : id));
  return {
    chosen_input_ids: chosenIds,
    chosen_labels: labels(chosenIds),
    rejected_input_ids: rejectedIds,
    rejected_labels: labels(rejectedIds),
  };
}
