/**
 * Where the adapter's matrices lie on the GPU. All A and B live in a few long buffers ("slabs"), so that clipping and
 * AdamW are one dispatch a slab. Projections that read the same input form a group: their A matrices are stacked, and
 * one product makes all of their low-rank inputs.
 *
 * The rank is padded to a multiple of 4 with rows of A and columns of B that are zero and, since their gradients are
 * then zero as well, stay so.
 */
import { TARGET_MODULES, type TargetModule } from '../train/hparams';
import { type LlamaConfig, projectionShapes } from './config';

export interface LoraSettings {
  lora_r: number;
  lora_alpha: number;
  use_rslora: boolean;
  target_modules: readonly TargetModule[];
}

export type LoraGroupName = 'qkv' | 'o' | 'gateUp' | 'down';

const GROUPS: Record<LoraGroupName, readonly TargetModule[]> = {
  qkv: ['q_proj', 'k_proj', 'v_proj'],
  o: ['o_proj'],
  gateUp: ['gate_proj', 'up_proj'],
  down: ['down_proj'],
};

export interface LoraModule {
  layer: number;
  module: TargetModule;
  slab: number;
  /** Values before A [paddedRank, inputs] and B [outputs, paddedRank] in the slab. */
  a: number;
  b: number;
  inputs: number;
  outputs: number;
  /** Column of this module's part in the group's low-rank rows. */
  column: number;
}

export interface LoraGroup {
  slab: number;
  /** Values before the stacked A [width, inputs]. */
  a: number;
  inputs: number;
  /** Modules times padded rank. */
  width: number;
  modules: LoraModule[];
}

export interface LoraLayout {
  rank: number;
  paddedRank: number;
  /** alpha / r, or alpha / sqrt(r) with rsLoRA. */
  scale: number;
  /** Length of each slab in values. */
  slabs: number[];
  layers: Partial<Record<LoraGroupName, LoraGroup>>[];
  /** Trainable parameters, without padding. */
  parameters: number;
}

export function loraLayout(config: LlamaConfig, settings: LoraSettings, slabLimit: number): LoraLayout {
  const shapes = projectionShapes(config);
  const rank = settings.lora_r;
  const paddedRank = Math.ceil(rank / 4) * 4;
  const wanted = new Set(settings.target_modules);
  for (const module of wanted) {
    if (!TARGET_MODULES.includes(module)) throw new RangeError(`target_modules: ${module} is not a linear of Llama.`);
  }
  const slabs = [0];
  const layers: LoraLayout['layers'] = [];
  let parameters = 0;
  for (let layer = 0; layer < config.layers; layer++) {
    const groups: LoraLayout['layers'][number] = {};
    for (const [name, members] of Object.entries(GROUPS) as [LoraGroupName, readonly TargetModule[]][]) {
      const present = members.filter((m) => wanted.has(m));
      if (present.length === 0) continue;
      const inputs = shapes[present[0]][1];
      const width = present.length * paddedRank;
      const outputs = present.reduce((sum, m) => sum + shapes[m][0], 0);
      const length = width * inputs + outputs * paddedRank;
      if (slabs.at(-1)! > 0 && (slabs.at(-1)! + length) * 4 > slabLimit) slabs.push(0);
      const slab = slabs.length - 1;
      const a = slabs[slab];
      let b = a + width * inputs;
      slabs[slab] += length;
      const modules = present.map((module, i): LoraModule => {
        const [rows] = shapes[module];
        const at = b;
        b += rows * paddedRank;
        parameters += rank * (rows + inputs);
        const column = i * paddedRank;
        return { layer, module, slab, a: a + column * inputs, b: at, inputs, outputs: rows, column };
      });
      groups[name] = { slab, a, inputs, width, modules };
    }
    layers.push(groups);
  }
  const scale = settings.lora_alpha / (settings.use_rslora ? Math.sqrt(rank) : rank);
  return { rank, paddedRank, scale, slabs, layers, parameters };
}

/** Every module of the adapter, layer by layer. */
export const loraModules = (layout: LoraLayout): LoraModule[] =>
  layout.layers.flatMap((groups) => Object.values(groups).flatMap((group) => group.modules));
