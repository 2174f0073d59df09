/**
 * One decoder layer, forward and backward written out.
 *
 *   x  = RMSNorm(h)            q, k, v = x Wᵀ + LoRA      q, k turned by RoPE
 *   h' = h + attention(q, k, v) Woᵀ + LoRA
 *   x' = RMSNorm(h')           g, u = x' Wᵀ + LoRA        h'' = h' + (silu(g) u) Wdᵀ + LoRA
 *
 * The forward leaves everything the backward needs in the layer's buffers; with gradient checkpointing layers share most of
 * them (model/layer-values), and the backward first makes again what another layer has overwritten. The second half treats
 * tokens one by one, and its values are by far the widest, so it works on a stretch of the tokens at a time.
 */
import type { Commands, View } from '../gpu/commands';
import type { Memory } from '../gpu/memory';
import type { KernelProfile } from '../gpu/profile';
import { attention, attentionBackward } from '../ops/attention';
import type { Rows } from '../ops/product';
import { rmsNorm, rmsNormBackward } from '../ops/rmsnorm';
import { rope } from '../ops/rope';
import { swiglu, swigluBackward } from '../ops/swiglu';
import type { LlamaConfig } from './config';
import type { Span } from './group-rows';
import {
  type AttentionBuffer,
  attentionWidths,
  type LayerBuffer,
  type MlpBuffer,
  mlpStretch,
  mlpWidths,
  type Stretch,
  stretches,
} from './layer-values';
import type { LoraLayout } from './lora';
import type { PackCapacity } from './plan';
import type { Projections } from './projection';
import type { Weights } from './weights';

/** What a layer needs to know of the pack in work. */
export interface PackShape {
  tokens: number;
  tiles: number;
  span: number;
}

/** Where a layer's values go: of its first half, and of its second for each stretch of tokens. */
interface Places {
  attention: Record<AttentionBuffer, Rows>;
  mlp: Record<MlpBuffer, Rows>[];
  /** The values whose buffers no other layer uses. */
  own: ReadonlySet<LayerBuffer>;
}

/** Whether a value need not be made: it is there from the forward. */
type There = (name: LayerBuffer) => boolean;
const NOTHING: There = () => false;

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
  readonly #places: Places[] = [];
  readonly #grad: Record<'hidden' | 'normed' | 'attn' | 'qkv', Rows>;
  /** The most tokens of one stretch. */
  readonly #stretch: number;
  /** The layer whose values the shared buffers hold: the last one from the end of the forward to its own backward. */
  #latest = -1;

  constructor(
    cmd: Commands,
    profile: KernelProfile,
    config: LlamaConfig,
    weights: Weights,
    projections: Projections,
    lora: LoraLayout,
    memory: Memory,
    capacity: PackCapacity,
  ) {
    this.#cmd = cmd;
    this.#profile = profile;
    this.#config = config;
    this.#weights = weights;
    this.#projections = projections;
    this.#memory = memory;
    this.#stretch = mlpStretch(config, capacity);
    const rows = (name: string, ld: number): Rows => ({ view: { buffer: memory.get(name) }, ld });
    const most = Math.ceil(capacity.tokens / this.#stretch);
    for (let i = 0; i < config.layers; i++) {
      const own = new Set<LayerBuffer>();
      const set = <T extends LayerBuffer>(widths: Record<T, number>, suffix: string) =>
        Object.fromEntries(
          Object.entries<number>(widths).map(([name, ld]) => {
            const kept = `act.${name}.${suffix}`;
            if (!memory.has(kept)) return [name, rows(`act.${name}`, ld)];
            own.add(name as T);
            return [name, rows(kept, ld)];
          }),
        ) as Record<T, Rows>;
      const mlp = Array.from({ length: most }, (_, j) => set(mlpWidths(config, lora), `${i}.${j}`));
      this.#places.push({ attention: set(attentionWidths(config, lora), `${i}`), mlp, own });
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
    this.#attentionForward(layer, pack, NOTHING);
    const { mid } = this.#attention(layer);
    for (const span of stretches(pack.tokens, this.#stretch)) {
      const b = this.#mlp(layer, span);
      this.#mlpForward(layer, span, NOTHING);
      const out = from(this.#hidden(layer + 1), span.first);
      this.#projections.forward(layer, 'down', b.act, b.uDown, { down_proj: out }, span, from(mid, span.first));
    }
    this.#latest = layer;
  }

  /**
   * Turns grad.hidden from the gradient of this layer's output into that of its input, and adds to (or, with
   * `accumulate` false, sets) the gradients of the layer's trainable tensors. `inputGradient` false leaves out what only
   * the layer below would need.
   */
  backward(layer: number, pack: PackShape, accumulate: boolean, inputGradient: boolean): void {
    const { own } = this.#places[layer];
    const latest = this.#latest === layer;
    this.#latest = -1;
    this.#attentionForward(layer, pack, (name) => latest || own.has(name));
    for (const span of stretches(pack.tokens, this.#stretch)) {
      const whole = latest && span.tokens === pack.tokens;
      this.#mlpForward(layer, span, (name) => whole || own.has(name));
      this.#mlpBackward(layer, span, accumulate || span.first > 0);
    }
    this.#attentionBackward(layer, pack, accumulate, inputGradient);
  }

  // ------------------------------------------------------------------------------------------------ first half

  #attentionForward(layer: number, pack: PackShape, there: There): void {
    const b = this.#attention(layer);
    const h = this.#hidden(layer);
    const all: Span = { first: 0, tokens: pack.tokens };
    if (!there('normed')) this.#norm(layer, 'input_layernorm', h, b.normed, all);
    if (!there('uQkv')) this.#projections.lowRank(layer, 'qkv', b.normed, b.uQkv, all);
    if (!there('qkv')) {
      this.#projections.forward(layer, 'qkv', b.normed, b.uQkv, this.#split(b.qkv), all);
      this.#rope(b.qkv, pack, 'forward');
    }
    if (!there('attn')) {
      attention(this.#cmd, this.#profile, this.#attentionArgs(b.qkv, pack), b.attn.view, b.lse.view);
    }
    if (!there('uO')) this.#projections.lowRank(layer, 'o', b.attn, b.uO, all);
    if (!there('mid')) this.#projections.forward(layer, 'o', b.attn, b.uO, { o_proj: b.mid }, all, h);
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
      ...(this.#memory.has('half.tops') && { tops: { buffer: this.#memory.get('half.tops') } }),
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
  #mlpForward(layer: number, span: Stretch, there: There): void {
    const { intermediateSize } = this.#config;
    const b = this.#mlp(layer, span);
    const mid = from(this.#attention(layer).mid, span.first);
    if (!there('normedMid')) this.#norm(layer, 'post_attention_layernorm', mid, b.normedMid, span);
    if (!there('uGateUp')) this.#projections.lowRank(layer, 'gateUp', b.normedMid, b.uGateUp, span);
    if (!there('gateUp')) {
      const y = { gate_proj: b.gateUp, up_proj: { ...b.gateUp, offset: intermediateSize } };
      this.#projections.forward(layer, 'gateUp', b.normedMid, b.uGateUp, y, span);
    }
    if (!there('act')) swiglu(this.#cmd, this.#profile, span.tokens, intermediateSize, b.gateUp.view, b.act.view);
    if (!there('uDown')) this.#projections.lowRank(layer, 'down', b.act, b.uDown, span);
  }

  #mlpBackward(layer: number, span: Stretch, accumulate: boolean): void {
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

  #attention(layer: number): Places['attention'] {
    return this.#places[layer].attention;
  }

  #mlp(layer: number, span: Stretch): Places['mlp'][number] {
    return this.#places[layer].mlp[span.index];
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
