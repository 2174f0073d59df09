/**
 * The projections of a layer with their adapters, one group (projections of the same input x) at a time:
 *
 *   u  = s drop(x) Aᵀ         y  = x Wᵀ + u Bᵀ           DoRA: y = c (x Wᵀ + u Bᵀ), c a factor for each column
 *   du = s dy B               dB = dyᵀ u    dA = duᵀ drop(x)     dx = dy W + drop(du A)
 */
import type { Commands, View } from '../gpu/commands';
import type { Memory } from '../gpu/memory';
import type { KernelProfile } from '../gpu/profile';
import { type DoraModule, doraBackward, doraScale } from '../ops/dora';
import { type DropoutMask, dropout } from '../ops/dropout';
import { MatmulOps, type ProductMeans } from '../ops/matmul';
import { takesStarts } from '../ops/matmul_narrow';
import type { ProductOptions, Rows } from '../ops/product';
import { matrix, type Weight } from '../ops/weight';
import { TARGET_MODULES, type TargetModule } from '../train/hparams';
import { besideEachOther, type DropoutPass, type GroupGradients, type GroupRows, type Span } from './group-rows';
import {
  LORA_GROUPS,
  type LoraGroup,
  type LoraGroupName,
  type LoraLayout,
  type LoraModule,
  startsOf,
  totalOutputs,
} from './lora';
import type { Weights } from './weights';

export class Projections {
  readonly #cmd: Commands;
  readonly #profile: KernelProfile;
  readonly #weights: Weights;
  readonly #lora: LoraLayout;
  readonly #memory: Pick<Memory, 'get'>;
  readonly #matmul: MatmulOps;
  /** Null: no dropout, as in evaluation. */
  dropout: DropoutPass | null = null;

  /** @param products see MatmulOps */
  constructor(
    cmd: Commands,
    profile: KernelProfile,
    weights: Weights,
    lora: LoraLayout,
    memory: Pick<Memory, 'get'>,
    products: Omit<ProductMeans, 'partials'> = {},
  ) {
    this.#cmd = cmd;
    this.#profile = profile;
    this.#weights = weights;
    this.#lora = lora;
    this.#memory = memory;
    this.#matmul = new MatmulOps(cmd, profile, { ...products, partials: { buffer: memory.get('matmul.partials') } });
  }

  /** DoRA: takes the factors from the adapter as it is now; with `start` the magnitudes as well, from the norms. */
  refresh(layer: number, start = false): void {
    for (const group of Object.values(this.#lora.layers[layer])) {
      for (const lora of group.modules) {
        if (!lora.dora) return;
        doraScale(this.#cmd, this.#profile, this.#weight(layer, lora.module), this.#dora(lora), start);
      }
    }
  }

  /** u = s drop(x) Aᵀ, the group's modules side by side. */
  lowRank(layer: number, name: LoraGroupName, x: Rows, u: Rows, span: Span): void {
    const group = this.#group(layer, name);
    if (!group) return;
    const alpha = this.#lora.scale;
    if (!this.dropout) {
      const a = matrix(`${name} A`, this.#slab('param', group.slab), group.a, group.width, group.inputs);
      this.#matmul.forward(a, span.tokens, x, u, { alpha });
      return;
    }
    for (const lora of group.modules) {
      const a = matrix('A', this.#slab('param', lora.slab), lora.a, this.#lora.paddedRank, lora.inputs);
      this.#matmul.forward(a, span.tokens, this.#dropped(lora, x, span), { ...u, offset: lora.column }, { alpha });
    }
  }

  /** y of each projection of the group from x and u (+ residual, for groups of one). */
  forward(layer: number, name: LoraGroupName, x: Rows, u: Rows, y: GroupRows, span: Span, residual?: Rows): void {
    const modules = LORA_GROUPS[name];
    if (this.#forwardStacked(layer, name, x, u, y, span)) return;
    const half = this.#matmul.half(span.tokens, this.#weight(layer, modules[0]).columns, x);
    for (const module of modules) this.#project(layer, module, x, u, y[module]!, span, { residual, half });
  }

  /** The way back of `lowRank` and `forward`: dX and the gradients of the group's trainable tensors. */
  backward(layer: number, name: LoraGroupName, x: Rows, u: Rows, span: Span, to: GroupGradients): void {
    const group = this.#group(layer, name);
    const dU: Rows = { view: { buffer: this.#memory.get('grad.u') }, ld: group?.width ?? 0 };
    const dY = { ...to.dY };
    const modules = group?.modules ?? [];
    for (const lora of modules) {
      if (lora.dora) dY[lora.module] = this.#doraBackward(layer, lora, x, u, dY[lora.module]!, span, to);
    }
    const together = this.#together(layer, name, dY)?.weights.length === modules.length && this.#takesTogether(modules);
    for (const some of together ? [modules] : modules.map((lora) => [lora])) {
      this.#gradientOfB(some, u, dY[some[0].module]!, dU, span, to.accumulate);
    }
    if (group) this.#gradientOfA(group, x, dU, span, to.accumulate);
    if (!to.dX || this.#backwardStacked(layer, name, dY, dU, span, to.dX)) return;
    for (const [i, module] of LORA_GROUPS[name].entries()) {
      const lora = group?.modules.find((m) => m.module === module);
      const options: ProductOptions = { accumulate: i > 0 };
      if (lora && !this.dropout) {
        const v = { view: this.#slab('param', lora.slab), ld: lora.inputs, offset: lora.a };
        options.lora = { u: { ...dU, offset: lora.column }, v, rank: this.#lora.paddedRank };
      }
      this.#matmul.backward(this.#weight(layer, module), span.tokens, dY[module]!, to.dX, options);
      if (lora && this.dropout) this.#droppedBackward(lora, dU, to.dX, span);
    }
  }

  // ------------------------------------------------------------------------------------------------ pieces

  /** A group's weights and where the rows of the first begin, if there are several and their rows lie side by side. */
  #together(layer: number, name: LoraGroupName, rows: GroupRows): { weights: Weight[]; first: Rows } | null {
    const modules = LORA_GROUPS[name];
    if (modules.length === 1) return null;
    const weights = modules.map((module) => this.#weight(layer, module));
    const all = modules.map((module) => rows[module]!);
    return besideEachOther(all, weights) ? { weights, first: all[0] } : null;
  }

  /** y of a whole group in one product, where they lie side by side and the tier can. */
  #forwardStacked(layer: number, name: LoraGroupName, x: Rows, u: Rows, y: GroupRows, span: Span): boolean {
    const together = this.#together(layer, name, y);
    const group = this.#group(layer, name);
    if (!together || (group && group.modules.length < together.weights.length)) return false;
    const options: ProductOptions = {};
    if (group) {
      const [{ slab, b, dora }] = group.modules;
      const v = { view: this.#slab('param', slab), ld: this.#lora.paddedRank, offset: b };
      options.lora = { u, v, rank: this.#lora.paddedRank };
      options.starts = startsOf(group.modules);
      if (dora) options.columnScale = { view: this.#doraView, offset: dora.scale };
    }
    return this.#matmul.forwardStacked(together.weights, span.tokens, x, together.first, options);
  }

  /** dX of a whole group in one product, likewise. */
  #backwardStacked(layer: number, name: LoraGroupName, dY: GroupRows, dU: Rows, span: Span, dX: Rows): boolean {
    const together = this.#together(layer, name, dY);
    if (!together || this.dropout) return false;
    const group = this.#group(layer, name);
    const lora = group && {
      u: dU,
      v: { view: this.#slab('param', group.slab), ld: group.inputs, offset: group.a },
      rank: group.width,
    };
    return this.#matmul.backwardStacked(together.weights, span.tokens, together.first, dX, { lora });
  }

  #project(
    layer: number,
    module: TargetModule,
    x: Rows,
    u: Rows,
    y: Rows,
    span: Span,
    options: ProductOptions,
    scaled = true,
  ): void {
    const lora = this.#module(layer, module);
    if (lora) {
      const v = { view: this.#slab('param', lora.slab), ld: this.#lora.paddedRank, offset: lora.b };
      options.lora = { u: { ...u, offset: lora.column }, v, rank: this.#lora.paddedRank };
    }
    if (lora?.dora && scaled) options.columnScale = { view: this.#doraView, offset: lora.dora.scale };
    this.#matmul.forward(this.#weight(layer, module), span.tokens, x, y, options);
  }

  /** Whether one dispatch can make what #gradientOfB makes of several modules. */
  #takesTogether(modules: readonly LoraModule[]): boolean {
    return takesStarts(this.#profile, totalOutputs(modules), this.#lora.paddedRank, startsOf(modules));
  }

  /** dU's part of one module, or of several whose dY lie side by side, and dB. */
  #gradientOfB(modules: LoraModule[], u: Rows, dY: Rows, dU: Rows, span: Span, accumulate: boolean): void {
    const rank = this.#lora.paddedRank;
    const [{ slab, b: offset, column }] = modules;
    const outputs = totalOutputs(modules);
    const starts = startsOf(modules);
    const b = matrix('B', this.#slab('param', slab), offset, outputs, rank);
    this.#matmul.backward(b, span.tokens, dY, { ...dU, offset: column }, { alpha: this.#lora.scale, starts });
    this.#matmul.gradient(
      span.tokens,
      { ...dY, columns: outputs },
      { ...u, offset: column, columns: rank },
      { view: this.#slab('grad', slab), ld: rank, offset },
      { accumulate, starts },
    );
  }

  #gradientOfA(group: LoraGroup, x: Rows, dU: Rows, span: Span, accumulate: boolean): void {
    const view = this.#slab('grad', group.slab);
    const { inputs, width } = group;
    if (!this.dropout) {
      const p = { ...dU, columns: width };
      const q = { ...x, columns: inputs };
      this.#matmul.gradient(span.tokens, p, q, { view, ld: inputs, offset: group.a }, { accumulate });
      return;
    }
    for (const lora of group.modules) {
      const p = { ...dU, offset: lora.column, columns: this.#lora.paddedRank };
      const q = { ...this.#dropped(lora, x, span), columns: inputs };
      this.#matmul.gradient(span.tokens, p, q, { view, ld: inputs, offset: lora.a }, { accumulate });
    }
  }

  /**
   * The gradient of the magnitudes; returns that of the projection without its factors. The output is made once more:
   * what the forward left is turned by RoPE, added to the residual or overwritten by now.
   */
  #doraBackward(layer: number, lora: LoraModule, x: Rows, u: Rows, dY: Rows, span: Span, to: GroupGradients): Rows {
    const y = { ...to.scratch };
    this.#project(layer, lora.module, x, u, y, span, {}, false);
    const into = to.keepDY ? ('y' as const) : ('dy' as const);
    const grad = this.#slab('grad', lora.slab);
    const { accumulate } = to;
    doraBackward(this.#cmd, this.#profile, span.tokens, lora.outputs, this.#dora(lora), dY, y, grad, {
      into,
      accumulate,
    });
    return to.keepDY ? y : dY;
  }

  /** drop(x) of one module, in scratch memory. */
  #dropped(lora: LoraModule, x: Rows, span: Span): Rows {
    const y = { view: { buffer: this.#memory.get('dropped') }, ld: lora.inputs };
    dropout(this.#cmd, span.tokens, lora.inputs, this.#mask(lora, span), x, y);
    return y;
  }

  /** dX += drop(dU A). */
  #droppedBackward(lora: LoraModule, dU: Rows, dX: Rows, span: Span): void {
    const g = { view: { buffer: this.#memory.get('dropped') }, ld: lora.inputs };
    const a = matrix('A', this.#slab('param', lora.slab), lora.a, this.#lora.paddedRank, lora.inputs);
    this.#matmul.backward(a, span.tokens, { ...dU, offset: lora.column }, g);
    dropout(this.#cmd, span.tokens, lora.inputs, this.#mask(lora, span), g, dX, true);
  }

  #mask(lora: LoraModule, span: Span): DropoutMask {
    const { p, seed, firstToken } = this.dropout!;
    const stream = lora.layer * TARGET_MODULES.length + TARGET_MODULES.indexOf(lora.module);
    return { p, seed, stream, firstToken: firstToken + span.first };
  }

  #dora(lora: LoraModule): DoraModule {
    const { magnitude, scale: factors } = lora.dora!;
    return {
      slab: this.#slab('param', lora.slab),
      a: lora.a,
      b: lora.b,
      magnitude,
      rank: this.#lora.paddedRank,
      loraScale: this.#lora.scale,
      scale: this.#doraView,
      factors,
      inverses: this.#lora.doraScales + factors,
    };
  }

  get #doraView(): View {
    return { buffer: this.#memory.get('dora.scale') };
  }

  #weight(layer: number, module: TargetModule): Weight {
    const inside = 'qkvo'.includes(module[0]) ? 'self_attn' : 'mlp';
    return this.#weights.get(`model.layers.${layer}.${inside}.${module}.weight`);
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
}
