/**
 * One decoder layer, forward and backward written out.
 *
 *   x  = RMSNorm(h)            q, k, v = x Wᵀ + LoRA      q, k turned by RoPE
 *   h' = h + attention(q, k, v) Woᵀ + LoRA
 *   x' = RMSNorm(h')           g, u = x' Wᵀ + LoRA        h'' = h' + (silu(g) u) Wdᵀ + LoRA
 *
 * The forward leaves everything the backward needs in the layer's buffers; with gradient checkpointing all layers share
 * one set and the backward runs the forward again first.
 */
import type { Commands, View } from '../gpu/commands';
import type { Memory } from '../gpu/memory';
import type { KernelProfile } from '../gpu/profile';
import { attention, attentionBackward } from '../ops/attention';
import { MatmulOps, type ProductOptions, type Rows } from '../ops/matmul';
import { rmsNorm, rmsNormBackward } from '../ops/rmsnorm';
import { rope } from '../ops/rope';
import { swiglu, swigluBackward } from '../ops/swiglu';
import { matrix, type Weight } from '../ops/weight';
import type { TargetModule } from '../train/hparams';
import type { LlamaConfig } from './config';
import type { LoraGroup, LoraGroupName, LoraLayout, LoraModule } from './lora';
import { layerWidths } from './plan';
import type { Weights } from './weights';

/** What a layer needs to know of the pack in work. */
export interface PackShape {
  tokens: number;
  tiles: number;
  span: number;
}

type Buffers = Record<string, Rows>;

export class LayerRunner {
  readonly #cmd: Commands;
  readonly #profile: KernelProfile;
  readonly #config: LlamaConfig;
  readonly #weights: Weights;
  readonly #lora: LoraLayout;
  readonly #memory: Memory;
  readonly #matmul: MatmulOps;
  readonly #kept: Buffers[] = [];
  readonly #grad: Buffers;
  readonly #recompute: boolean;

  constructor(
    cmd: Commands,
    profile: KernelProfile,
    config: LlamaConfig,
    weights: Weights,
    lora: LoraLayout,
    memory: Memory,
    recompute: boolean,
  ) {
    this.#cmd = cmd;
    this.#profile = profile;
    this.#config = config;
    this.#weights = weights;
    this.#lora = lora;
    this.#memory = memory;
    this.#matmul = new MatmulOps(cmd, profile);
    this.#recompute = recompute;
    const widths = layerWidths(config, lora);
    const rows = (name: string, ld: number): Rows => ({ view: { buffer: memory.get(name) }, ld });
    for (let i = 0; i < (recompute ? 1 : config.layers); i++) {
      this.#kept.push(Object.fromEntries(Object.entries(widths).map(([n, ld]) => [n, rows(`act.${i}.${n}`, ld)])));
    }
    this.#grad = {
      hidden: rows('grad.hidden', config.hiddenSize),
      normed: rows('grad.normed', config.hiddenSize),
      attn: rows('grad.attn', widths.attn),
      qkv: rows('grad.qkv', widths.qkv),
      u: rows('grad.u', 0),
    };
  }

  /** hidden.{layer + 1} from hidden.{layer}. */
  forward(layer: number, pack: PackShape): void {
    this.#attentionForward(layer, pack);
    const { hiddenSize, intermediateSize } = this.#config;
    const b = this.#buffers(layer);
    this.#norm(layer, 'post_attention_layernorm', b.mid, b.normedMid, pack);
    this.#lowRank(layer, 'gateUp', b.normedMid, b.uGateUp, pack);
    this.#project(layer, 'gate_proj', b.normedMid, b.gateUp, b.uGateUp, pack);
    this.#project(layer, 'up_proj', b.normedMid, { ...b.gateUp, offset: intermediateSize }, b.uGateUp, pack);
    swiglu(this.#cmd, this.#profile, pack.tokens, intermediateSize, b.gateUp.view, b.act.view);
    this.#lowRank(layer, 'down', b.act, b.uDown, pack);
    const out = { view: this.#hidden(layer + 1), ld: hiddenSize };
    this.#project(layer, 'down_proj', b.act, out, b.uDown, pack, b.mid);
  }

  #attentionForward(layer: number, pack: PackShape): void {
    const { heads, kvHeads, headDim, hiddenSize } = this.#config;
    const b = this.#buffers(layer);
    const h = { view: this.#hidden(layer), ld: hiddenSize };
    this.#norm(layer, 'input_layernorm', h, b.normed, pack);
    this.#lowRank(layer, 'qkv', b.normed, b.uQkv, pack);
    const columns: [TargetModule, number][] = [
      ['q_proj', 0],
      ['k_proj', heads * headDim],
      ['v_proj', (heads + kvHeads) * headDim],
    ];
    for (const [module, offset] of columns) {
      this.#project(layer, module, b.normed, { ...b.qkv, offset }, b.uQkv, pack);
    }
    this.#rope(b.qkv, pack, 'forward');
    attention(this.#cmd, this.#profile, this.#attentionArgs(b, pack), b.attn.view, b.lse.view);
    this.#lowRank(layer, 'o', b.attn, b.uO, pack);
    this.#project(layer, 'o_proj', b.attn, b.mid, b.uO, pack, h);
  }

  /**
   * Turns grad.hidden from the gradient of this layer's output into that of its input, and adds to (or, with
   * `accumulate` false, sets) the gradients of the layer's A and B. `inputGradient` false leaves out what only the
   * layer below would need.
   */
  backward(layer: number, pack: PackShape, accumulate: boolean, inputGradient: boolean): void {
    if (this.#recompute) this.forward(layer, pack);
    const { intermediateSize } = this.#config;
    const b = this.#buffers(layer);
    const d = this.#grad;

    const dUDown = this.#lowRankBackward(layer, 'down', b.act, b.uDown, { down_proj: d.hidden }, pack, accumulate);
    this.#projectBackward(layer, 'down_proj', d.hidden, b.act, dUDown, pack, false);
    swigluBackward(this.#cmd, this.#profile, pack.tokens, intermediateSize, b.gateUp.view, b.act.view);
    const dUp = { ...b.gateUp, offset: intermediateSize };
    const dUGateUp = this.#lowRankBackward(
      layer,
      'gateUp',
      b.normedMid,
      b.uGateUp,
      { gate_proj: b.gateUp, up_proj: dUp },
      pack,
      accumulate,
    );
    this.#projectBackward(layer, 'gate_proj', b.gateUp, d.normed, dUGateUp, pack, false);
    this.#projectBackward(layer, 'up_proj', dUp, d.normed, dUGateUp, pack, true);
    this.#normBackward(layer, 'post_attention_layernorm', b.mid.view, pack);
    this.#attentionBackward(layer, pack, accumulate, inputGradient);
  }

  #attentionBackward(layer: number, pack: PackShape, accumulate: boolean, inputGradient: boolean): void {
    const { heads, kvHeads, headDim } = this.#config;
    const b = this.#buffers(layer);
    const d = this.#grad;
    const dUO = this.#lowRankBackward(layer, 'o', b.attn, b.uO, { o_proj: d.hidden }, pack, accumulate);
    this.#projectBackward(layer, 'o_proj', d.hidden, d.attn, dUO, pack, false);
    attentionBackward(this.#cmd, this.#profile, this.#attentionArgs(b, pack), {
      out: b.attn.view,
      lse: b.lse.view,
      dOut: d.attn.view,
      delta: { buffer: this.#memory.get('delta') },
      dQkv: d.qkv.view,
    });
    this.#rope(d.qkv, pack, 'backward');
    const dQ = d.qkv;
    const dK = { ...d.qkv, offset: heads * headDim };
    const dV = { ...d.qkv, offset: (heads + kvHeads) * headDim };
    const dUQkv = this.#lowRankBackward(
      layer,
      'qkv',
      b.normed,
      b.uQkv,
      { q_proj: dQ, k_proj: dK, v_proj: dV },
      pack,
      accumulate,
    );
    if (!inputGradient) return;
    this.#projectBackward(layer, 'q_proj', dQ, d.normed, dUQkv, pack, false);
    this.#projectBackward(layer, 'k_proj', dK, d.normed, dUQkv, pack, true);
    this.#projectBackward(layer, 'v_proj', dV, d.normed, dUQkv, pack, true);
    this.#normBackward(layer, 'input_layernorm', this.#hidden(layer), pack);
  }

  // ------------------------------------------------------------------------------------------------ pieces

  #buffers(layer: number): Buffers {
    return this.#kept[this.#recompute ? 0 : layer];
  }

  #hidden(layer: number): View {
    return { buffer: this.#memory.get(`hidden.${layer}`) };
  }

  #weight(layer: number, module: TargetModule): Weight {
    const inside = 'qkvo'.includes(module[0]) ? 'self_attn' : 'mlp';
    return this.#weights.get(`model.layers.${layer}.${inside}.${module}.weight`);
  }

  #gain(layer: number, name: string): View {
    return this.#weights.get(`model.layers.${layer}.${name}.weight`).parts[0].data;
  }

  #slab(kind: 'param' | 'grad', index: number): View {
    return { buffer: this.#memory.get(`lora.${kind}.${index}`) };
  }

  #group(layer: number, name: LoraGroupName): LoraGroup | undefined {
    return this.#lora.layers[layer][name];
  }

  #module(layer: number, module: TargetModule): LoraModule | undefined {
    for (const group of Object.values(this.#lora.layers[layer])) {
      const found = group.modules.find((m) => m.module === module);
      if (found) return found;
    }
    return undefined;
  }

  #norm(layer: number, name: string, x: Rows, y: Rows, pack: PackShape): void {
    const { hiddenSize: hidden, rmsNormEps: eps } = this.#config;
    const args = { x: x.view, gain: this.#gain(layer, name), rows: pack.tokens, hidden, eps };
    rmsNorm(this.#cmd, this.#profile, args, y.view);
  }

  /** grad.hidden += the norm's backward of grad.normed. */
  #normBackward(layer: number, name: string, x: View, pack: PackShape): void {
    const { hiddenSize: hidden, rmsNormEps: eps } = this.#config;
    const args = { x, gain: this.#gain(layer, name), rows: pack.tokens, hidden, eps };
    rmsNormBackward(this.#cmd, this.#profile, args, this.#grad.normed.view, this.#grad.hidden.view);
  }

  #rope(x: Rows, pack: PackShape, direction: 'forward' | 'backward'): void {
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

  #attentionArgs(b: Buffers, pack: PackShape) {
    const { heads, kvHeads, headDim } = this.#config;
    const tiles = { buffer: this.#memory.get('pack.tiles') };
    return {
      qkv: b.qkv.view,
      tiles,
      tileCount: pack.tiles,
      tokens: pack.tokens,
      heads,
      kvHeads,
      headDim,
      span: pack.span,
    };
  }

  /** u = s x Aᵀ for all modules of a group at once. */
  #lowRank(layer: number, name: LoraGroupName, x: Rows, u: Rows, pack: PackShape): void {
    const group = this.#group(layer, name);
    if (!group) return;
    const a = matrix(`${name} A`, this.#slab('param', group.slab), group.a, group.width, group.inputs);
    this.#matmul.forward(a, pack.tokens, x, u, { alpha: this.#lora.scale });
  }

  #project(layer: number, module: TargetModule, x: Rows, y: Rows, u: Rows, pack: PackShape, residual?: Rows): void {
    const weight = this.#weight(layer, module);
    const options: ProductOptions = { residual };
    const lora = this.#module(layer, module);
    if (lora) {
      const v = { view: this.#slab('param', lora.slab), ld: this.#lora.paddedRank, offset: lora.b };
      options.lora = { u: { ...u, offset: lora.column }, v, rank: this.#lora.paddedRank };
    }
    this.#matmul.forward(weight, pack.tokens, x, y, options);
  }

  /**
   * Gradients of a group's A and B from its outputs' gradients; returns du = s dy B (all modules side by side) for the
   * way back through the projections.
   */
  #lowRankBackward(
    layer: number,
    name: LoraGroupName,
    x: Rows,
    u: Rows,
    outputs: Partial<Record<TargetModule, Rows>>,
    pack: PackShape,
    accumulate: boolean,
  ): Rows {
    const group = this.#group(layer, name);
    if (!group) return this.#grad.u;
    const rank = this.#lora.paddedRank;
    const dU: Rows = { view: this.#grad.u.view, ld: group.width };
    const grad = this.#slab('grad', group.slab);
    for (const lora of group.modules) {
      const dY = outputs[lora.module]!;
      const b = matrix(`${lora.module} B`, this.#slab('param', lora.slab), lora.b, lora.outputs, rank);
      this.#matmul.backward(b, pack.tokens, dY, { ...dU, offset: lora.column }, { alpha: this.#lora.scale });
      this.#matmul.gradient(
        pack.tokens,
        { ...dY, columns: lora.outputs },
        { ...u, offset: lora.column, columns: rank },
        { view: grad, ld: rank, offset: lora.b },
        { accumulate },
      );
    }
    this.#matmul.gradient(
      pack.tokens,
      { ...dU, columns: group.width },
      { ...x, columns: group.inputs },
      { view: grad, ld: group.inputs, offset: group.a },
      { accumulate },
    );
    return dU;
  }

  #projectBackward(
    layer: number,
    module: TargetModule,
    dY: Rows,
    dX: Rows,
    dU: Rows,
    pack: PackShape,
    accumulate: boolean,
  ): void {
    const weight = this.#weight(layer, module);
    const options: ProductOptions = { accumulate };
    const lora = this.#module(layer, module);
    if (lora) {
      const v = { view: this.#slab('param', lora.slab), ld: lora.inputs, offset: lora.a };
      options.lora = { u: { ...dU, offset: lora.column }, v, rank: this.#lora.paddedRank };
    }
    this.#matmul.backward(weight, pack.tokens, dY, dX, options);
  }
}
