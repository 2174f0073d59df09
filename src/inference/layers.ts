/** The decoder layers forward only: nothing is kept for a backward, and keys and values may come from a cache. */
import type { Commands, View } from '../gpu/commands';
import type { Memory } from '../gpu/memory';
import type { KernelProfile } from '../gpu/profile';
import type { LlamaConfig } from '../model/config';
import type { Span } from '../model/group-rows';
import { type AttentionBuffer, attentionWidths, type MlpBuffer, mlpStretch, mlpWidths } from '../model/layer-values';
import type { LoraLayout } from '../model/lora';
import type { Projections } from '../model/projection';
import type { Weights } from '../model/weights';
import { attention } from '../ops/attention';
import { decodeAttention, kvStore } from '../ops/decode';
import type { Rows } from '../ops/product';
import { rmsNorm } from '../ops/rmsnorm';
import { rope } from '../ops/rope';
import { swiglu } from '../ops/swiglu';
import type { InferenceCapacity } from './plan';

/** A packed pass over whole sequences; `cached` puts their keys and values into the cache. */
export interface PackedPass {
  kind: 'packed';
  tokens: number;
  tiles: number;
  span: number;
  cached: boolean;
}

/** One new token for each of some sequences in the cache. */
export interface DecodePass {
  kind: 'decode';
  tokens: number;
  /** Tokens of the longest sequence, the new one included. */
  longest: number;
}

export type Pass = PackedPass | DecodePass;

type LayerBuffers = Record<AttentionBuffer | MlpBuffer, Rows>;

export interface LayerParts {
  cmd: Commands;
  profile: KernelProfile;
  config: LlamaConfig;
  weights: Weights;
  memory: Memory;
}

export class InferenceLayers {
  readonly #parts: LayerParts;
  readonly #hidden: Rows;
  readonly #b: LayerBuffers;
  /** Tokens that the second half works on at a time. */
  readonly #stretch: number;

  constructor(parts: LayerParts, lora: LoraLayout, capacity: InferenceCapacity) {
    const { config, memory } = parts;
    this.#parts = parts;
    const widths = { ...attentionWidths(config, lora), ...mlpWidths(config, lora) };
    this.#b = Object.fromEntries(
      Object.entries(widths).map(([name, ld]) => [name, { view: { buffer: memory.get(`act.${name}`) }, ld }]),
    ) as LayerBuffers;
    this.#hidden = { view: { buffer: memory.get('hidden') }, ld: config.hiddenSize };
    this.#stretch = mlpStretch(config, { ...capacity, pairs: 0 });
  }

  /** `hidden` of layer + 1 in place of layer's. */
  forward(layer: number, pass: Pass, projections: Projections): void {
    const { config } = this.#parts;
    const { heads, kvHeads, headDim, intermediateSize } = config;
    const b = this.#b;
    const all: Span = { first: 0, tokens: pass.tokens };
    this.#norm(layer, 'input_layernorm', this.#hidden, b.normed, all);
    projections.lowRank(layer, 'qkv', b.normed, b.uQkv, all);
    const keys = { ...b.qkv, offset: heads * headDim };
    const values = { ...b.qkv, offset: (heads + kvHeads) * headDim };
    projections.forward(layer, 'qkv', b.normed, b.uQkv, { q_proj: b.qkv, k_proj: keys, v_proj: values }, all);
    this.#attend(layer, pass);
    projections.lowRank(layer, 'o', b.attn, b.uO, all);
    projections.forward(layer, 'o', b.attn, b.uO, { o_proj: b.mid }, all, this.#hidden);
    for (let first = 0; first < pass.tokens; first += this.#stretch) {
      const span = { first, tokens: Math.min(this.#stretch, pass.tokens - first) };
      const mid = from(b.mid, first);
      this.#norm(layer, 'post_attention_layernorm', mid, b.normedMid, span);
      projections.lowRank(layer, 'gateUp', b.normedMid, b.uGateUp, span);
      const gateUp = { gate_proj: b.gateUp, up_proj: { ...b.gateUp, offset: intermediateSize } };
      projections.forward(layer, 'gateUp', b.normedMid, b.uGateUp, gateUp, span);
      const { cmd, profile } = this.#parts;
      swiglu(cmd, profile, span.tokens, intermediateSize, b.gateUp.view, b.act.view);
      projections.lowRank(layer, 'down', b.act, b.uDown, span);
      projections.forward(layer, 'down', b.act, b.uDown, { down_proj: from(this.#hidden, first) }, span, mid);
    }
  }

  /** Turns queries and keys, and attends to the pass's own keys or to the cache. */
  #attend(layer: number, pass: Pass): void {
    const { cmd, profile, config } = this.#parts;
    const { heads, kvHeads, headDim } = config;
    const { tokens } = pass;
    const qkv = this.#b.qkv.view;
    const [positions, table] = [this.#view('pack.positions'), this.#view('rope.table')];
    const turned = { x: qkv, positions, table, tokens, heads: heads + kvHeads, headDim, ld: this.#b.qkv.ld };
    rope(cmd, profile, turned, 'forward');
    if (pass.kind === 'decode' || pass.cached) {
      const cache = this.#view(`cache.${layer}`);
      const rows = this.#view('pack.cacheRows');
      kvStore(cmd, profile, config, tokens, { qkv, rows, cache });
      if (pass.kind === 'decode') {
        const views = { qkv, cache, rows, positions, partials: this.#view('decode.partials') };
        decodeAttention(cmd, profile, config, tokens, pass.longest, views, this.#b.attn.view);
        return;
      }
    }
    const { tiles: tileCount, span } = pass;
    const args = { qkv, tiles: this.#view('pack.tiles'), tileCount, tokens, heads, kvHeads, headDim, span };
    attention(cmd, profile, args, this.#b.attn.view, this.#b.lse.view);
  }

  #norm(layer: number, name: string, x: Rows, y: Rows, { tokens: rows }: Span): void {
    const { cmd, profile, config, weights } = this.#parts;
    const gain = weights.get(`model.layers.${layer}.${name}.weight`).parts[0].data;
    rmsNorm(cmd, profile, { x: x.view, gain, rows, hidden: config.hiddenSize, eps: config.rmsNormEps }, y.view);
  }

  #view(name: string): View {
    return { buffer: this.#parts.memory.get(name) };
  }
}

/** The rows from `first` on, a multiple of 64, which suits every device's binding alignment. */
const from = (rows: Rows, first: number): Rows => ({
  ...rows,
  view: { buffer: rows.view.buffer, offset: first * rows.ld * 4 },
});
