/**
 * One decoder layer, forward and backward written out.
 *
 *   x  = RMSNorm(h)            q, k, v = x Wᵀ + LoRA      q, k turned by RoPE
 *   h' = h + attention(q, k, v) Woᵀ + LoRA
 *   x' = RMSNorm(h')           g, u = x' Wᵀ + LoRA        h'' = h' + (silu(g) u) Wdᵀ + LoRA
 *
 * The forward leaves everything the backward needs in the layer's buffers; with gradient checkpointing all layers share
 * one set and the backward runs the forward again first. The second half treats tokens one by one, and its values are by
 * far the widest, so it works on a stretch of the tokens at a time.
 */
import type { Commands, View } from '../gpu/commands';
import type { Memory } from '../gpu/memory';
import type { KernelProfile } from '../gpu/profile';
import { attention, attentionBackward } from '../ops/attention';
import type { Rows } from '../ops/matmul';
import { rmsNorm, rmsNormBackward } from '../ops/rmsnorm';
import { rope } from '../ops/rope';
import { swiglu, swigluBackward } from '../ops/swiglu';
import type { LlamaConfig } from './config';
import type { LoraLayout } from './lora';
import {
  type AttentionBuffer,
  attentionWidths,
  type MlpBuffer,
  mlpStretch,
  mlpWidths,
  type PackCapacity,
} from './plan';
import type { Projections, Span } from './projection';
import type { Weights } from './weights';

/** What a layer needs to know of the pack in work. */
export interface PackShape {
  tokens: number;
  tiles: number;
  span: number;
}

/** The values that a layer keeps: of its first half, and of its second for each stretch of tokens. */
interface Kept {
  attention: Record<AttentionBuffer, Rows>;
  mlp: Record<MlpBuffer, Rows>[];
}

type Direction = 'forward' | 'backward';

/** The rows from `first` on. Stretches begin at multiples of 64 tokens, which suits every device's binding alignment. */
const from = (rows: Rows, first: number): Rows => ({
  ...rows,
  view: { buffer: rows.view.buffer, offset: first * rows.ld * 4 },
});

export class LayerRunner {
  readonly #cmd: Commands;
  readonly #profile: KernelProfile;
  readonly #config: LlamaConfig;
  readonly #weights: Weights;
  readonly #projections: Projections;
  readonly #memory: Memory;
  readonly #kept: Kept[] = [];
  readonly #grad: Record<'hidden' | 'normed' | 'attn' | 'qkv', Rows>;
  readonly #recompute: boolean;
  /** Tokens of one stretch. */
  readonly #stretch: number;

  constructor(
    cmd: Commands,
    profile: KernelProfile,
    config: LlamaConfig,
    weights: Weights,
    projections: Projections,
    lora: LoraLayout,
    memory: Memory,
    capacity: PackCapacity,
    recompute: boolean,
  ) {
    this.#cmd = cmd;
    this.#profile = profile;
    this.#config = config;
    this.#weights = weights;
    this.#projections = projections;
    this.#memory = memory;
    this.#recompute = recompute;
    this.#stretch = mlpStretch(config, capacity);
    const rows = (name: string, ld: number): Rows => ({ view: { buffer: memory.get(name) }, ld });
    const set = <T extends string>(widths: Record<T, number>, suffix: string) =>
      Object.fromEntries(
        Object.entries<number>(widths).map(([name, ld]) => [name, rows(`act.${name}.${suffix}`, ld)]),
      ) as Record<T, Rows>;
    const stretches = recompute ? 1 : Math.ceil(capacity.tokens / this.#stretch);
    for (let i = 0; i < (recompute ? 1 : config.layers); i++) {
      this.#kept.push({
        attention: set(attentionWidths(config, lora), `${i}`),
        mlp: Array.from({ length: stretches }, (_, j) => set(mlpWidths(config, lora), `${i}.${j}`)),
      });
    }
    const { attn, qkv } = attentionWidths(config, lora);
    this.#grad = {
      hidden: rows('grad.hidden', config.hiddenSize),
      normed: rows('grad.normed', config.hiddenSize),
      attn: rows('grad.attn', attn),
      qkv: rows('grad.qkv', qkv),
    };
  }

  /** hidden.{layer + 1} from hidden.{layer}. */
  forward(layer: number, pack: PackShape): void {
    this.#attentionForward(layer, pack);
    const { mid } = this.#attention(layer);
    for (const span of this.#stretches(pack)) {
      const b = this.#mlp(layer, span);
      this.#mlpForward(layer, span);
      const out = from(this.#hidden(layer + 1), span.first);
      this.#projections.forward(layer, 'down', b.act, b.uDown, { down_proj: out }, span, from(mid, span.first));
    }
  }

  /**
   * Turns grad.hidden from the gradient of this layer's output into that of its input, and adds to (or, with
   * `accumulate` false, sets) the gradients of the layer's trainable tensors. `inputGradient` false leaves out what only
   * the layer below would need.
   */
  backward(layer: number, pack: PackShape, accumulate: boolean, inputGradient: boolean): void {
    if (this.#recompute) this.#attentionForward(layer, pack);
    for (const span of this.#stretches(pack)) {
      if (this.#recompute) this.#mlpForward(layer, span);
      this.#mlpBackward(layer, span, accumulate || span.first > 0);
    }
    this.#attentionBackward(layer, pack, accumulate, inputGradient);
  }

  // ------------------------------------------------------------------------------------------------ first half

  #attentionForward(layer: number, pack: PackShape): void {
    const b = this.#attention(layer);
    const h = this.#hidden(layer);
    const all: Span = { first: 0, tokens: pack.tokens };
    this.#norm(layer, 'input_layernorm', h, b.normed, all);
    this.#projections.lowRank(layer, 'qkv', b.normed, b.uQkv, all);
    this.#projections.forward(layer, 'qkv', b.normed, b.uQkv, this.#split(b.qkv), all);
    this.#rope(b.qkv, pack, 'forward');
    attention(this.#cmd, this.#profile, this.#attentionArgs(b.qkv, pack), b.attn.view, b.lse.view);
    this.#projections.lowRank(layer, 'o', b.attn, b.uO, all);
    this.#projections.forward(layer, 'o', b.attn, b.uO, { o_proj: b.mid }, all, h);
  }

  #attentionBackward(layer: number, pack: PackShape, accumulate: boolean, inputGradient: boolean): void {
    const b = this.#attention(layer);
    const d = this.#grad;
    const all: Span = { first: 0, tokens: pack.tokens };
    this.#projections.backward(layer, 'o', b.attn, b.uO, all, {
      dY: { o_proj: d.hidden },
      dX: d.attn,
      scratch: d.normed,
      keepDY: true,
      accumulate,
    });
    attentionBackward(this.#cmd, this.#profile, this.#attentionArgs(b.qkv, pack), {
      out: b.attn.view,
      lse: b.lse.view,
      dOut: d.attn.view,
      delta: { buffer: this.#memory.get('delta') },
      dQkv: d.qkv.view,
    });
    this.#rope(d.qkv, pack, 'backward');
    this.#projections.backward(layer, 'qkv', b.normed, b.uQkv, all, {
      dY: this.#split(d.qkv),
      dX: inputGradient ? d.normed : null,
      scratch: d.attn,
      accumulate,
    });
    if (inputGradient) this.#normBackward(layer, 'input_layernorm', this.#hidden(layer), all);
  }

  // ------------------------------------------------------------------------------------------------ second half

  /** Up to the input of down_proj and its low-rank part. */
  #mlpForward(layer: number, span: Span): void {
    const { intermediateSize } = this.#config;
    const b = this.#mlp(layer, span);
    const mid = from(this.#attention(layer).mid, span.first);
    this.#norm(layer, 'post_attention_layernorm', mid, b.normedMid, span);
    this.#projections.lowRank(layer, 'gateUp', b.normedMid, b.uGateUp, span);
    const y = { gate_proj: b.gateUp, up_proj: { ...b.gateUp, offset: intermediateSize } };
    this.#projections.forward(layer, 'gateUp', b.normedMid, b.uGateUp, y, span);
    swiglu(this.#cmd, this.#profile, span.tokens, intermediateSize, b.gateUp.view, b.act.view);
    this.#projections.lowRank(layer, 'down', b.act, b.uDown, span);
  }

  #mlpBackward(layer: number, span: Span, accumulate: boolean): void {
    const { intermediateSize } = this.#config;
    const b = this.#mlp(layer, span);
    const dNormed = from(this.#grad.normed, span.first);
    this.#projections.backward(layer, 'down', b.act, b.uDown, span, {
      dY: { down_proj: from(this.#grad.hidden, span.first) },
      dX: b.act,
      scratch: dNormed,
      keepDY: true,
      accumulate,
    });
    swigluBackward(this.#cmd, this.#profile, span.tokens, intermediateSize, b.gateUp.view, b.act.view);
    this.#projections.backward(layer, 'gateUp', b.normedMid, b.uGateUp, span, {
      dY: { gate_proj: b.gateUp, up_proj: { ...b.gateUp, offset: intermediateSize } },
      dX: dNormed,
      scratch: b.act,
      accumulate,
    });
    this.#normBackward(layer, 'post_attention_layernorm', this.#attention(layer).mid, span);
  }

  // ------------------------------------------------------------------------------------------------ pieces

  #attention(layer: number): Kept['attention'] {
    return this.#kept[this.#recompute ? 0 : layer].attention;
  }

  #mlp(layer: number, span: Span): Kept['mlp'][number] {
    return this.#recompute ? this.#kept[0].mlp[0] : this.#kept[layer].mlp[span.first / this.#stretch];
  }

  *#stretches({ tokens }: PackShape): Generator<Span> {
    for (let first = 0; first < tokens; first += this.#stretch) {
      yield { first, tokens: Math.min(this.#stretch, tokens - first) };
    }
  }

  #hidden(layer: number): Rows {
    return { view: { buffer: this.#memory.get(`hidden.${layer}`) }, ld: this.#config.hiddenSize };
  }

  /** The three parts of fused rows [queries, keys, values]. */
  #split(qkv: Rows) {
    const { heads, kvHeads, headDim } = this.#config;
    return {
      q_proj: qkv,
      k_proj: { ...qkv, offset: heads * headDim },
      v_proj: { ...qkv, offset: (heads + kvHeads) * headDim },
    };
  }

  #gain(layer: number, name: string): View {
    return this.#weights.get(`model.layers.${layer}.${name}.weight`).parts[0].data;
  }

  #norm(layer: number, name: string, x: Rows, y: Rows, { tokens: rows }: Span): void {
    const { hiddenSize: hidden, rmsNormEps: eps } = this.#config;
    rmsNorm(this.#cmd, this.#profile, { x: x.view, gain: this.#gain(layer, name), rows, hidden, eps }, y.view);
  }

  /** grad.hidden += the norm's backward of grad.normed. */
  #normBackward(layer: number, name: string, x: Rows, { first, tokens: rows }: Span): void {
    const { hiddenSize: hidden, rmsNormEps: eps } = this.#config;
    const { normed, hidden: dHidden } = this.#grad;
    const args = { x: from(x, first).view, gain: this.#gain(layer, name), rows, hidden, eps };
    rmsNormBackward(this.#cmd, this.#profile, args, from(normed, first).view, from(dHidden, first).view);
  }

  #rope(x: Rows, pack: PackShape, direction: Direction): void {
    const { heads, kvHeads, headDim } = this.#config;
    const positions = { buffer: this.#memory.get('pack.positions') };
    const table = { buffer: this.#memory.get('rope.table') };
    rope(
      this.#cmd,
      this.#profile,
      { x: x.view, positions, table, tokens: pack.tokens, heads: heads + kvHeads, headDim, ld: x.ld },
      direction,
    );
  }

  #attentionArgs(qkv: Rows, pack: PackShape) {
    const { heads, kvHeads, headDim } = this.#config;
    const tiles = { buffer: this.#memory.get('pack.tiles') };
    const { tokens, tiles: tileCount, span } = pack;
    return { qkv: qkv.view, tiles, tileCount, tokens, heads, kvHeads, headDim, span };
  }
}
