/**
 * Where the adapter's matrices lie on the GPU. All A and B live in a few long buffers ("slabs"), so that clipping and
 * AdamW are one dispatch a slab. Projections that read the same input form a group: their A matrices are stacked, and
 * one product makes all of their low-rank inputs.
 *
 * The rank is padded to a multiple of 4 with rows of A and columns of B that are zero and, since their gradients are
 * then zero as well, stay so.
 */
import type { LoraPart } from '../formats/peft';
import { TARGET_MODULES, type TargetModule } from '../train/hparams';
import { type LlamaConfig, projectionShapes } from './config';

export interface LoraSettings {
  lora_r: number;
  lora_alpha: number;
  use_rslora: boolean;
  use_dora?: boolean;
  target_modules: readonly TargetModule[];
}

export type LoraGroupName = 'qkv' | 'o' | 'gateUp' | 'down';

/** Projections that read the same input. */
export const LORA_GROUPS: Record<LoraGroupName, readonly TargetModule[]> = {
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
  /** DoRA only: values before the magnitudes [outputs] in the slab, and before their factors in dora.scale. */
  dora: { magnitude: number; scale: number } | null;
}

/** One trainable tensor, as PEFT knows it, and where its rows lie in a slab. */
export interface LoraTensor {
  lora: LoraModule;
  part: LoraPart;
  /** [rank, inputs], [outputs, rank] or [outputs]. */
  shape: number[];
  slab: number;
  /** Values before the first one. */
  offset: number;
  /** Values of one row, and from row to row in the slab (more for B when the rank is padded). */
  columns: number;
  stride: number;
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
  /** DoRA only: values of dora.scale, one for each output of each module; otherwise 0. */
  doraScales: number;
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
  let doraScales = 0;
  for (let layer = 0; layer < config.layers; layer++) {
    const groups: LoraLayout['layers'][number] = {};
    for (const [name, members] of Object.entries(LORA_GROUPS) as [LoraGroupName, readonly TargetModule[]][]) {
      const present = members.filter((m) => wanted.has(m));
      if (present.length === 0) continue;
      const inputs = shapes[present[0]][1];
      const width = present.length * paddedRank;
      const outputs = present.reduce((sum, m) => sum + shapes[m][0], 0);
      const length = width * inputs + outputs * (paddedRank + (settings.use_dora ? 1 : 0));
      if (slabs.at(-1)! > 0 && (slabs.at(-1)! + length) * 4 > slabLimit) slabs.push(0);
      const slab = slabs.length - 1;
      const a = slabs[slab];
      let b = a + width * inputs;
      let magnitude = b + outputs * paddedRank;
      slabs[slab] += length;
      const modules = present.map((module, i): LoraModule => {
        const [rows] = shapes[module];
        const at = b;
        b += rows * paddedRank;
        parameters += rank * (rows + inputs);
        const column = i * paddedRank;
        const lora = { layer, module, slab, a: a + column * inputs, b: at, inputs, outputs: rows, column };
        if (!settings.use_dora) return { ...lora, dora: null };
        const dora = { magnitude, scale: doraScales };
        magnitude += rows;
        doraScales += rows;
        parameters += rows;
        return { ...lora, dora };
      });
      groups[name] = { slab, a, inputs, width, modules };
    }
    layers.push(groups);
  }
  const scale = settings.lora_alpha / (settings.use_rslora ? Math.sqrt(rank) : rank);
  return { rank, paddedRank, scale, slabs, layers, parameters, doraScales };
}

export const totalOutputs = (modules: readonly LoraModule[]): number =>
  modules.reduce((sum, { outputs }) => sum + outputs, 0);

/** Where the B of a group's second and third module begin, in rows from the first: they lie one below the other. */
export const startsOf = (modules: readonly LoraModule[]): number[] =>
  modules.slice(1).map((_, i) => totalOutputs(modules.slice(0, i + 1)));

/** Every module of the adapter, layer by layer. */
export const loraModules = (layout: LoraLayout): LoraModule[] =>
  layout.layers.flatMap((groups) => Object.values(groups).flatMap((group) => group.modules));

/** Every trainable tensor: A and B of each module, and with DoRA its magnitudes. */
export function loraTensors(layout: LoraLayout): LoraTensor[] {
  const { rank, paddedRank } = layout;
  return loraModules(layout).flatMap((lora): LoraTensor[] => {
    const { slab, inputs, outputs } = lora;
    const a = { part: 'A' as const, shape: [rank, inputs], offset: lora.a, columns: inputs, stride: inputs };
    const b = { part: 'B' as const, shape: [outputs, rank], offset: lora.b, columns: rank, stride: paddedRank };
    const tensors: LoraTensor[] = [a, b].map((t) => ({ lora, slab, ...t }));
    if (!lora.dora) return tensors;
    const { magnitude: offset } = lora.dora;
    return [...tensors, { lora, slab, part: 'magnitude', shape: [outputs], offset, columns: outputs, stride: outputs }];
  });
}
