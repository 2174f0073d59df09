/** A model and perhaps an adapter with the buffers of forward passes: scores packed sequences, and grows cached ones. */
import type { AdapterTensor } from '../formats/peft';
import type { View } from '../gpu/commands';
import { GpuError } from '../gpu/errors';
import { Memory } from '../gpu/memory';
import { adapterSpecs, packAdapter } from '../model/adapter';
import { logitTiles } from '../model/head';
import type { LoraLayout } from '../model/lora';
import { Projections } from '../model/projection';
import { ropeTable } from '../model/rope';
import type { LoadedModel } from '../model/session';
import { argmax, PICK_BYTES, type Pick, readPicks } from '../ops/decode';
import { embedding } from '../ops/embedding';
import { entryLogits, rowStats } from '../ops/logits';
import { MatmulOps } from '../ops/matmul';
import { matvec } from '../ops/matvec';
import { rmsNorm } from '../ops/rmsnorm';
import { InferenceLayers, type Pass } from './layers';
import type { BranchPack } from './packing';
import { type InferenceCapacity, inferenceSpecs, noLora, scoreTile } from './plan';

/** An adapter by its values, or by the slabs of a training session, which are read as they are at each pass. */
export type AdapterSource =
  | { layout: LoraLayout; tensors: ReadonlyMap<string, AdapterTensor> }
  | { layout: LoraLayout; slabs: Memory };

/** Tokens to read or to add: parallel arrays, one entry for each token. */
export interface CachedTokens {
  ids: Uint32Array<ArrayBuffer>;
  positions: Uint32Array<ArrayBuffer>;
  /** Row of the cache that the token's keys and values go to. */
  cacheRows: Uint32Array<ArrayBuffer>;
}

export class InferenceSession {
  readonly model: LoadedModel;
  readonly capacity: InferenceCapacity;
  readonly memory: Memory;
  /** Whether passes use the adapter; it is on from the start where there is one. */
  adapterOn: boolean;
  readonly #layers: InferenceLayers;
  readonly #plain: Projections;
  readonly #adapted: Projections | null;
  readonly #matmul: MatmulOps;

  private constructor(model: LoadedModel, capacity: InferenceCapacity, memory: Memory, adapter: AdapterSource | null) {
    const { cmd, gpu, config, weights } = model;
    this.model = model;
    this.capacity = capacity;
    this.memory = memory;
    this.adapterOn = adapter !== null;
    const lora = adapter?.layout ?? noLora(config);
    const parts = { cmd, profile: gpu.profile, config, weights, memory };
    this.#layers = new InferenceLayers(parts, lora, capacity);
    this.#plain = new Projections(cmd, gpu.profile, weights, noLora(config), memory, { special: matvec });
    const slabs = adapter && 'slabs' in adapter ? adapter.slabs : memory;
    const buffers = { get: (name: string) => (/^(lora|dora)\./.test(name) ? slabs : memory).get(name) };
    this.#adapted = adapter && new Projections(cmd, gpu.profile, weights, lora, buffers, { special: matvec });
    this.#matmul = new MatmulOps(cmd, gpu.profile, {
      partials: { buffer: memory.get('matmul.partials') },
      special: matvec,
    });
  }

  /** Allocates all buffers. Throws GpuError `out-of-memory` or `limits`; nothing stays allocated then. */
  static async create(
    model: LoadedModel,
    capacity: InferenceCapacity,
    adapter: AdapterSource | null = null,
  ): Promise<InferenceSession> {
    const memory = new Memory(model.gpu.device);
    const lora = adapter?.layout ?? noLora(model.config);
    const own = adapter !== null && 'tensors' in adapter;
    await memory.allocate(inferenceSpecs(model.config, lora, capacity, own));
    const table = ropeTable(model.config.rope, model.config.headDim, capacity.positions);
    model.cmd.upload({ buffer: memory.get('rope.table') }, table);
    const session = new InferenceSession(model, capacity, memory, adapter);
    if (own) session.#uploadAdapter(lora, adapter.tensors);
    return session;
  }

  /** DoRA: takes the factors from the adapter as it is now. Due when the slabs are somebody else's and have changed. */
  refreshAdapter(): void {
    for (let i = 0; i < this.model.config.layers; i++) this.#adapted?.refresh(i);
  }

  /**
   * Log-probability of each entry's target, in nats; with several `sides` once for each: the adapter on or off.
   * @throws RangeError when the pack exceeds the capacity
   */
  async score(pack: BranchPack): Promise<Float64Array> {
    const [scores] = await (await this.submit(pack, [this.adapterOn]))();
    return scores;
  }

  /** As `score` for each side over one upload; answers when all is queued, with what waits for the numbers. */
  async submit(pack: BranchPack, sides: readonly boolean[]): Promise<() => Promise<Float64Array[]>> {
    const { cmd } = this.model;
    await this.#upload(pack);
    for (const [name, data] of [
      ['pack.tiles', pack.tileTable],
      ['pack.rows', pack.rowTokens],
      ['pack.entries', pack.entryTable],
    ] as const) {
      cmd.upload(this.#view(name), data);
    }
    const { tokens, tiles, span, rows, entries } = pack;
    const results: Promise<[ArrayBuffer, ArrayBuffer]>[] = [];
    const on = this.adapterOn;
    for (const [i, side] of sides.entries()) {
      // Rows of an embedding that stays in storage were overwritten by the side before.
      if (i > 0 && this.model.weights.stored) await this.#upload(pack);
      this.adapterOn = side;
      await this.#run({ kind: 'packed', tokens, tiles, span, cached: false });
      await this.#scoreHead(rows, entries);
      results.push(Promise.all([this.#read('head.stats', rows * 16), this.#read('head.z', entries * 4)]));
    }
    this.adapterOn = on;
    const all = Promise.all(results);
    // Whoever awaits the numbers gets the error; until then it is nobody's.
    all.catch(() => {});
    return async () => (await all).map(([stats, z]) => logProbabilities(pack, stats, z));
  }

  /**
   * Reads whole sequences into the cache. `lastTokens`: the tokens, by number, whose logits are wanted; they become rows
   * 0, 1, … of `logits` and `pick`.
   */
  async prefill(
    pack: CachedTokens & { tileTable: Uint32Array<ArrayBuffer>; tiles: number; span: number },
    lastTokens: Uint32Array<ArrayBuffer>,
  ): Promise<void> {
    await this.#upload(pack);
    const { cmd } = this.model;
    cmd.upload(this.#view('pack.cacheRows'), pack.cacheRows);
    cmd.upload(this.#view('pack.tiles'), pack.tileTable);
    cmd.upload(this.#view('pack.rows'), lastTokens);
    const { tiles, span } = pack;
    await this.#run({ kind: 'packed', tokens: pack.ids.length, tiles, span, cached: true });
    this.#logits(lastTokens.length, true);
  }

  /** Adds one token to each of some cached sequences. `chained`: the ids are those that `pick` found just before. */
  async decode(step: CachedTokens, chained = false): Promise<void> {
    const tokens = step.ids.length;
    await this.#upload(step, chained);
    this.model.cmd.upload(this.#view('pack.cacheRows'), step.cacheRows);
    const longest = 1 + step.positions.reduce((most, p) => Math.max(most, p), 0);
    await this.#run({ kind: 'decode', tokens, longest });
    this.#logits(tokens, false);
  }

  /** Whether a greedy step can go on without its token being read back first. */
  get canChain(): boolean {
    return this.model.weights.stored === null;
  }

  /** Records the choice of the largest logit of each row, as entries `firstPick` and following of `readPicks`. */
  pick(rows: number, firstPick: number): void {
    const { cmd, gpu, config } = this.model;
    const size = { rows, columns: config.vocabSize, ld: this.#logitsWidth, firstPick };
    const views = {
      logits: this.#view('decode.logits'),
      ids: this.#view('pack.ids'),
      picks: this.#view('decode.picks'),
    };
    argmax(cmd, gpu.profile, size, views);
  }

  async readPicks(count: number): Promise<Pick[]> {
    return readPicks(await this.#read('decode.picks', count * PICK_BYTES));
  }

  /** f32 logits of `rows` rows, each vocabSize long. */
  async readLogits(rows: number): Promise<Float32Array[]> {
    const bytes = await this.#read('decode.logits', rows * this.#logitsWidth * 4);
    const width = this.#logitsWidth;
    return Array.from({ length: rows }, (_, r) => new Float32Array(bytes, r * width * 4, this.model.config.vocabSize));
  }

  destroy(): void {
    this.model.cmd.flush();
    this.memory.destroy();
    this.model.cmd.forgetBuffers();
  }

  // ------------------------------------------------------------------------------------------------ pieces

  /** @throws GpuError when the device refused part of the work, whose numbers then mean nothing */
  async #read(name: string, bytes: number): Promise<ArrayBuffer> {
    const read = await this.model.cmd.read(this.#view(name), bytes);
    const [fault] = this.model.gpu.faults;
    if (fault) throw new GpuError('shader', `The GPU refused part of the work: ${fault.slice(0, 300)}`);
    return read;
  }

  readonly #view = (name: string): View => ({ buffer: this.memory.get(name) });

  get #logitsWidth(): number {
    return Math.ceil(this.model.config.vocabSize / 4) * 4;
  }

  #uploadAdapter(layout: LoraLayout, tensors: ReadonlyMap<string, AdapterTensor>): void {
    packAdapter(layout, tensors).forEach((values, i) => {
      this.model.cmd.upload(this.#view(`lora.param.${i}`), values);
    });
    const magnitudes = adapterSpecs(layout).filter(({ part }) => part === 'magnitude');
    const start = magnitudes.some(({ name }) => !tensors.has(name));
    for (let i = 0; i < this.model.config.layers; i++) this.#adapted!.refresh(i, start);
  }

  async #upload({ ids, positions }: Omit<CachedTokens, 'cacheRows'>, chained = false): Promise<void> {
    const { cmd, weights } = this.model;
    if (ids.length > this.capacity.tokens) {
      throw new RangeError(`a pass of ${ids.length} tokens exceeds the planned ${this.capacity.tokens}`);
    }
    cmd.upload(this.#view('pack.positions'), positions);
    if (weights.stored) cmd.upload(this.#view('hidden'), await weights.stored.rows(ids));
    else if (!chained) cmd.upload(this.#view('pack.ids'), ids);
  }

  /** `hidden` of the last layer from uploaded tokens. */
  async #run(pass: Pass): Promise<void> {
    const { cmd, gpu, config, weights } = this.model;
    if (!weights.stored) {
      embedding(cmd, gpu.profile, weights.embedding, this.#view('pack.ids'), pass.tokens, this.#view('hidden'));
    }
    const projections = (this.adapterOn && this.#adapted) || this.#plain;
    for (let i = 0; i < config.layers; i++) {
      this.#layers.forward(i, pass, projections);
      await cmd.breathe();
    }
  }

  #norm(rows: number, gathered: boolean): void {
    const { cmd, gpu, config, weights } = this.model;
    const gain = weights.get('model.norm.weight').parts[0].data;
    const { hiddenSize: hidden, rmsNormEps: eps } = config;
    const gather = gathered ? this.#view('pack.rows') : undefined;
    rmsNorm(cmd, gpu.profile, { x: this.#view('hidden'), gain, rows, hidden, eps, gather }, this.#view('head.normed'));
  }

  /** Whole rows of logits, of the tokens in pack.rows or of all. */
  #logits(rows: number, gathered: boolean): void {
    this.#norm(rows, gathered);
    const { config, weights } = this.model;
    const normed = { view: this.#view('head.normed'), ld: config.hiddenSize };
    this.#matmul.forward(weights.head, rows, normed, { view: this.#view('decode.logits'), ld: this.#logitsWidth });
  }

  async #scoreHead(rows: number, entries: number): Promise<void> {
    const { cmd, gpu, config, weights } = this.model;
    this.#norm(rows, true);
    const [hidden, stats] = [this.#view('head.normed'), this.#view('head.stats')];
    const size = scoreTile(config, this.capacity);
    for (const tile of logitTiles(this.#view('head.tile'), size, rows, config.vocabSize)) {
      const x = { view: hidden, ld: config.hiddenSize, offset: tile.firstRow * config.hiddenSize };
      const range = [tile.firstColumn, tile.firstColumn + tile.columns] as const;
      this.#matmul.forward(weights.head, tile.rows, x, { view: tile.view, ld: tile.ld }, {}, range);
      rowStats(cmd, gpu.profile, tile, stats);
      await cmd.breathe();
    }
    entryLogits(cmd, gpu.profile, weights.head, this.#view('pack.entries'), entries, hidden, this.#view('head.z'));
  }
}

function logProbabilities(pack: BranchPack, stats: ArrayBuffer, z: ArrayBuffer): Float64Array {
  const rows = new Float32Array(stats);
  return Float64Array.from(new Float32Array(z), (logit, e) => {
    const row = pack.entryTable[4 * e];
    return logit - rows[4 * row] - Math.log(rows[4 * row + 1]);
  });
}
