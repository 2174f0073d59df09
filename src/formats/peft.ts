/** PEFT's LoRA adapter layout: adapter_model.safetensors and adapter_config.json. */
import type { ByteSource } from './bytes';
import { asFloat32Array } from './float';
import { parseSafetensorsHeader, serializeSafetensorsHeader } from './safetensors';

export const ADAPTER_FILE = 'adapter_model.safetensors';
export const ADAPTER_CONFIG_FILE = 'adapter_config.json';

/** The linear layers of a Llama block that may carry LoRA, and the sub-module each lies in. */
export const LORA_MODULES = {
  q_proj: 'self_attn',
  k_proj: 'self_attn',
  v_proj: 'self_attn',
  o_proj: 'self_attn',
  gate_proj: 'mlp',
  up_proj: 'mlp',
  down_proj: 'mlp',
} as const;

export type LoraModule = keyof typeof LORA_MODULES;

/** `A`: [r, in]; `B`: [out, r]; `magnitude` (DoRA only): [out]. */
export type LoraPart = 'A' | 'B' | 'magnitude';

export interface LoraTensorName {
  layer: number;
  module: LoraModule;
  part: LoraPart;
}

const PART_SUFFIX = { A: 'lora_A.weight', B: 'lora_B.weight', magnitude: 'lora_magnitude_vector' } as const;
const PREFIX = 'base_model.model.';

/** Name of a base weight, e.g. `model.layers.0.self_attn.q_proj.weight`. */
export const baseWeightName = (layer: number, module: LoraModule): string =>
  `model.layers.${layer}.${LORA_MODULES[module]}.${module}.weight`;

/** Key in adapter_model.safetensors, e.g. `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. */
export const loraKey = ({ layer, module, part }: LoraTensorName): string =>
  `${PREFIX}model.layers.${layer}.${LORA_MODULES[module]}.${module}.${PART_SUFFIX[part]}`;

/** The inverse of {@link loraKey}, or null for another key. */
export function parseLoraKey(key: string): LoraTensorName | null {
  const match = /\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_(A\.weight|B\.weight|magnitude_vector)$/u.exec(key);
  if (!match || !Object.hasOwn(LORA_MODULES, match[2])) return null;
  const part = match[3] === 'magnitude_vector' ? 'magnitude' : (match[3][0] as 'A' | 'B');
  const name = { layer: Number(match[1]), module: match[2] as LoraModule, part } as const;
  return loraKey(name) === key ? name : null;
}

/** The layer and module of a base weight that may carry LoRA, or null. */
export function parseBaseWeightName(name: string): { layer: number; module: LoraModule } | null {
  const match = /^model\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.weight$/u.exec(name);
  if (!match || !Object.hasOwn(LORA_MODULES, match[2])) return null;
  const at = { layer: Number(match[1]), module: match[2] as LoraModule };
  return baseWeightName(at.layer, at.module) === name ? at : null;
}

/** An adapter that cannot be used. `tensor` names the entry at fault, where there is one. */
export class AdapterError extends Error {
  readonly code: 'bad-adapter' | 'unsupported-adapter';
  readonly tensor: string | undefined;
  constructor(code: AdapterError['code'], message: string, tensor?: string) {
    super(message);
    this.name = 'AdapterError';
    this.code = code;
    this.tensor = tensor;
  }
}

export interface AdapterTensor {
  name: string;
  shape: readonly number[];
  values: Float32Array;
}

/**
 * All tensors of an adapter by key. Throws {@link AdapterError} for tensors other than LoRA's on these modules, or of a
 * dtype other than F32 (PEFT trains and saves adapters in f32).
 */
export async function readAdapter(source: ByteSource, fileName = ADAPTER_FILE): Promise<Map<string, AdapterTensor>> {
  const { tensors } = await parseSafetensorsHeader(source, fileName);
  const out = new Map<string, AdapterTensor>();
  for (const { name, dtype, shape, begin, end } of tensors.values()) {
    if (!parseLoraKey(name)) {
      throw new AdapterError(
        'unsupported-adapter',
        `${fileName}: ${name} is not a LoRA tensor of a Llama layer.`,
        name,
      );
    }
    if (dtype !== 'F32') {
      throw new AdapterError('unsupported-adapter', `${fileName}: ${name} is ${dtype}; save the adapter as F32.`, name);
    }
    out.set(name, { name, shape, values: asFloat32Array(await source.read(begin, end)) });
  }
  return out;
}

/** adapter_model.safetensors, byte for byte as PEFT writes it. */
export function writeAdapter(tensors: readonly AdapterTensor[]): Uint8Array<ArrayBuffer> {
  const byName = new Map(tensors.map((t) => [t.name, t]));
  const layout = serializeSafetensorsHeader(tensors.map(({ name, shape }) => ({ name, shape, dtype: 'F32' })));
  const file = new Uint8Array(layout.size);
  file.set(layout.header);
  for (const { name, begin, end } of layout.tensors) {
    const { values } = byName.get(name)!;
    if (values.byteLength !== end - begin) {
      throw new AdapterError('bad-adapter', `${name}: ${values.length} values do not fill its shape.`, name);
    }
    file.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), begin);
  }
  return file;
}

export interface AdapterConfig {
  base_model_name_or_path: string | null;
  r: number;
  lora_alpha: number;
  lora_dropout: number;
  target_modules: readonly string[];
  use_rslora: boolean;
  use_dora: boolean;
}

/** s in W + s*B*A: alpha/r, or alpha/sqrt(r) with rsLoRA. */
export const loraScale = (c: Pick<AdapterConfig, 'r' | 'lora_alpha' | 'use_rslora'>): number =>
  c.lora_alpha / (c.use_rslora ? Math.sqrt(c.r) : c.r);

/** The text of adapter_config.json: the fields that every PEFT since 0.9 (the first with DoRA) knows. */
export function writeAdapterConfig(config: AdapterConfig): string {
  const fields: Record<string, unknown> = {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: config.base_model_name_or_path,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: config.lora_alpha,
    lora_dropout: config.lora_dropout,
    megatron_config: null,
    megatron_core: 'megatron.core',
    modules_to_save: null,
    peft_type: 'LORA',
    r: config.r,
    rank_pattern: {},
    revision: null,
    target_modules: config.target_modules,
    task_type: 'CAUSAL_LM',
    use_dora: config.use_dora,
    use_rslora: config.use_rslora,
  };
  // Python writes a float as 0.0; PEFT reads either.
  return JSON.stringify(fields, null, 2).replace(/("lora_dropout": \d+)(,?)$/mu, '$1.0$2');
}

/** Reads adapter_config.json. Throws {@link AdapterError} for what this project cannot reproduce. */
export function parseAdapterConfig(text: string): AdapterConfig {
  const bad = (problem: string): never => {
    throw new AdapterError('bad-adapter', `${ADAPTER_CONFIG_FILE}: ${problem}.`);
  };
  const unsupported = (what: string): never => {
    throw new AdapterError(
      'unsupported-adapter',
      `${ADAPTER_CONFIG_FILE}: ${what} is not supported. Use a plain LoRA.`,
    );
  };
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return bad('it is not JSON');
  }
  if (json === null || typeof json !== 'object') return bad('it is not an object');
  if (json.peft_type !== 'LORA') unsupported(`peft_type ${JSON.stringify(json.peft_type)}`);
  const { r, lora_alpha: alpha, target_modules: targets } = json;
  if (!Number.isSafeInteger(r) || (r as number) < 1) return bad(`r is ${JSON.stringify(r)}`);
  if (typeof alpha !== 'number') return bad(`lora_alpha is ${JSON.stringify(alpha)}`);
  if (!Array.isArray(targets)) return bad(`target_modules is ${JSON.stringify(targets)}`);
  const foreign = targets.find((t) => typeof t !== 'string' || !Object.hasOwn(LORA_MODULES, t));
  if (foreign !== undefined) unsupported(`target module ${JSON.stringify(foreign)}`);
  if (json.bias !== undefined && json.bias !== 'none') unsupported(`bias ${JSON.stringify(json.bias)}`);
  for (const key of ['rank_pattern', 'alpha_pattern', 'modules_to_save', 'layers_to_transform', 'layer_replication']) {
    const value = json[key];
    if (value && Object.keys(value).length > 0) unsupported(key);
  }
  return {
    base_model_name_or_path: typeof json.base_model_name_or_path === 'string' ? json.base_model_name_or_path : null,
    r: r as number,
    lora_alpha: alpha,
    lora_dropout: typeof json.lora_dropout === 'number' ? json.lora_dropout : 0,
    target_modules: targets as string[],
    use_rslora: json.use_rslora === true,
    use_dora: json.use_dora === true,
  };
}
