/**
 * The values of a layer that its backward needs, and of how many layers they are kept rather than made again.
 *
 * With gradient checkpointing the layers share one set of buffers, and the backward makes a layer's values again from its
 * input. Some memory more spares part of that: a value that is kept has a buffer of its own in each of the first layers. What
 * is made again and what is kept are the same bits, so results do not depend on the choice.
 */
import { type BufferSpec, bufferSpec, totalBytes } from '../gpu/memory';
import type { LlamaConfig } from './config';
import type { Span } from './group-rows';
import type { LoraLayout } from './lora';
import type { PackCapacity, RunOptions } from './plan';

export type AttentionBuffer = 'normed' | 'qkv' | 'attn' | 'lse' | 'mid' | 'uQkv' | 'uO';
export type MlpBuffer = 'normedMid' | 'gateUp' | 'act' | 'uGateUp' | 'uDown';
export type LayerBuffer = AttentionBuffer | MlpBuffer;

/** Widths of the values that the first half of a layer makes per token, in f32. */
export function attentionWidths(c: LlamaConfig, lora: LoraLayout): Record<AttentionBuffer, number> {
  const groups = lora.layers[0] ?? {};
  return {
    normed: c.hiddenSize,
    qkv: (c.heads + 2 * c.kvHeads) * c.headDim,
    attn: c.heads * c.headDim,
    lse: c.heads,
    mid: c.hiddenSize,
    uQkv: groups.qkv?.width ?? 0,
    uO: groups.o?.width ?? 0,
  };
}

/** The same for the second half. */
export function mlpWidths(c: LlamaConfig, lora: LoraLayout): Record<MlpBuffer, number> {
  const groups = lora.layers[0] ?? {};
  return {
    normedMid: c.hiddenSize,
    gateUp: 2 * c.intermediateSize,
    act: c.intermediateSize,
    uGateUp: groups.gateUp?.width ?? 0,
    uDown: groups.down?.width ?? 0,
  };
}

/** The most tokens, a multiple of 64, whose gate and up take at most `bytes`; at least 64. */
export function stretchTokens(c: LlamaConfig, bytes: number): number {
  return Math.max(64, Math.floor(bytes / (2 * c.intermediateSize * 4) / 64) * 64);
}

/** `tokens` in as few stretches of at most `most` as can be, all of about one length, a multiple of 64 where there are several. */
function evenStretch(tokens: number, most: number): number {
  const count = Math.ceil(tokens / most);
  return count <= 1 ? tokens : Math.ceil(tokens / count / 64) * 64;
}

/** One of the stretches of a pass. */
export interface Stretch extends Span {
  index: number;
}

/** A pass of `tokens` in stretches of about one length, at most `most` tokens. */
export function* stretches(tokens: number, most: number): Generator<Stretch> {
  const length = evenStretch(tokens, most);
  for (let index = 0; index * length < tokens; index++) {
    const first = index * length;
    yield { index, first, tokens: Math.min(length, tokens - first) };
  }
}

/** Tokens that the second half of a layer works on at a time: by default gate and up of a stretch take at most 64 MiB. */
export function mlpStretch(c: LlamaConfig, { tokens, stretch }: PackCapacity): number {
  return evenStretch(tokens, stretch ?? stretchTokens(c, 2 ** 26));
}

/**
 * What is kept together, in the order in which memory is spent on it. First LoRA's narrow inputs: hardly any bytes, and
 * products too small for a GPU. Attention is the slowest to make for its size. The others are products over the hidden size,
 * alike in time a byte, so those that fit more easily come first. Norms and silu are made again from these: they cost
 * next to nothing.
 */
const NARROW = ['uQkv', 'uO', 'uGateUp', 'uDown'] as const;
const ATTENTION = ['attn', 'lse'] as const;
const RUNGS: readonly (readonly LayerBuffer[])[] = [NARROW, ATTENTION, ['mid'], ['qkv'], ['gateUp']];

/** Above this many bytes in all, memory is more likely to be short than time. */
export const AUTOMATIC_MOST = 4e9;

/** Buffers of one value: those of a layer of its own, and the shared one. */
interface Value {
  name: LayerBuffer;
  own(layer: number): BufferSpec[];
  shared: BufferSpec;
}

function layerValues(c: LlamaConfig, lora: LoraLayout, capacity: PackCapacity): Value[] {
  const { tokens } = capacity;
  const stretch = mlpStretch(c, capacity);
  const spec = (name: string, values: number) => bufferSpec(`act.${name}`, 'activations', values * 4);
  const attention = Object.entries(attentionWidths(c, lora)).map(([name, width]): Value => {
    const own = (layer: number) => [spec(`${name}.${layer}`, tokens * width)];
    return { name: name as LayerBuffer, own, shared: spec(name, tokens * width) };
  });
  const mlp = Object.entries(mlpWidths(c, lora)).map(([name, width]): Value => {
    const own = (layer: number) =>
      Array.from({ length: Math.ceil(tokens / stretch) }, (_, i) => spec(`${name}.${layer}.${i}`, stretch * width));
    return { name: name as LayerBuffer, own, shared: spec(name, stretch * width) };
  });
  return [...attention, ...mlp];
}

/** Bytes beyond those of the shared buffer when the first `layers` of `all` layers keep a value; then nobody shares one. */
function extraBytes({ own, shared }: Value, layers: number, all: number): number {
  return layers * totalBytes(own(0)) - (layers === all ? shared.bytes : 0);
}

/**
 * Every buffer of the layers' values: `act.NAME.LAYER` (in the second half `.STRETCH` as well) where a layer keeps a value,
 * and `act.NAME` for those that share one.
 * @param others bytes of everything else, by which `keep_bytes` is chosen where it is not given
 */
export function layerSpecs(
  c: LlamaConfig,
  lora: LoraLayout,
  capacity: PackCapacity,
  options: RunOptions,
  others: number,
): BufferSpec[] {
  const values = layerValues(c, lora, capacity);
  const kept = new Map<LayerBuffer, number>(values.map(({ name }) => [name, 0]));
  if (!options.gradient_checkpointing) for (const { name } of values) kept.set(name, c.layers);
  else {
    const of = (names: readonly LayerBuffer[]) => values.filter(({ name }) => names.includes(name));
    const extra = (names: readonly LayerBuffer[], layers: number) =>
      of(names).reduce((sum, value) => sum + extraBytes(value, layers, c.layers), 0);
    let left = options.keep_bytes ?? -1;
    if (left < 0) {
      const base = others + values.reduce((sum, { shared }) => sum + shared.bytes, 0);
      const narrow = extra(NARROW, c.layers);
      const both = narrow + extra(ATTENTION, c.layers);
      left = both <= base / 4 && base + both <= AUTOMATIC_MOST ? both : narrow;
    }
    for (const names of RUNGS) {
      let layers = c.layers;
      if (extra(names, layers) > left) layers = Math.min(layers - 1, Math.floor(left / extra(names, 1)));
      for (const name of names) kept.set(name, layers);
      left -= extra(names, layers);
    }
  }
  return values.flatMap(({ name, own, shared }) => {
    const layers = kept.get(name)!;
    const specs = Array.from({ length: layers }, (_, layer) => own(layer)).flat();
    return layers < c.layers ? [...specs, shared] : specs;
  });
}
