/** A model on the GPU with an adapter and the buffers of a run: forward and backward of one pack at a time. */
import type { Pack } from '../data/packing';
import { dynamicMap } from '../formats/nf4-codec';
import type { Commands } from '../gpu/commands';
import type { Gpu } from '../gpu/device';
import { Memory } from '../gpu/memory';
import { embedding } from '../ops/embedding';
import { EXPANDED } from '../ops/expand-choice';
import { ExpandedWeight } from '../ops/expanded-weight';
import { HalfOperands, halfScratch } from '../ops/half';
import type { LlamaConfig } from './config';
import type { DropoutPass } from './group-rows';
import { HeadRunner } from './head';
import { LayerRunner } from './layer';
import type { LoraLayout } from './lora';
import { momentBlocks } from './moments';
import { operandSpecs } from './operand-plan';
import { type PackCapacity, type RunOptions, runSpecs } from './plan';
import { Projections } from './projection';
import { ropeTable } from './rope';
import type { Weights } from './weights';

/** Frozen weights in GPU memory, and the queue that everything on this device shares. */
export interface LoadedModel {
  gpu: Gpu;
  cmd: Commands;
  config: LlamaConfig;
  weights: Weights;
  weightMemory: Memory;
}

/** Numbers of one pair, as the loss kernel leaves them (ops/orpo_loss). */
export interface PairLoss {
  nllSum: number;
  logpChosen: number;
  logpRejected: number;
  logOdds: number;
  logOddsRatio: number;
  logitsChosenSum: number;
  logitsRejectedSum: number;
}

export class Session {
  readonly model: LoadedModel;
  readonly lora: LoraLayout;
  readonly memory: Memory;
  readonly capacity: PackCapacity;
  readonly #projections: Projections;
  readonly #layers: LayerRunner;
  readonly #head: HeadRunner;

  private constructor(model: LoadedModel, lora: LoraLayout, capacity: PackCapacity, memory: Memory) {
    const { cmd, gpu, config, weights } = model;
    this.model = model;
    this.lora = lora;
    this.capacity = capacity;
    this.memory = memory;
    const scratch = halfScratch(memory);
    const half = scratch && new HalfOperands(cmd, gpu.profile, scratch);
    const expanded = memory.has(EXPANDED) ? new ExpandedWeight(cmd, 'f32', memory.get(EXPANDED)) : undefined;
    this.#projections = new Projections(cmd, gpu.profile, weights, lora, memory, { half, expanded });
    const parts = [cmd, gpu.profile, config, weights, this.#projections, lora, memory] as const;
    this.#layers = new LayerRunner(...parts, capacity);
    this.#head = new HeadRunner(cmd, gpu.profile, config, weights, memory, capacity, half);
  }

  /** Allocates all buffers of a run. Throws GpuError `out-of-memory` or `limits`; nothing stays allocated then. */
  static async create(
    model: LoadedModel,
    lora: LoraLayout,
    capacity: PackCapacity,
    options: RunOptions,
  ): Promise<Session> {
    const memory = new Memory(model.gpu.device);
    const { device, profile } = model.gpu;
    const operands = operandSpecs(profile, model.config, model.weights.nf4, capacity, device.limits);
    await memory.allocate([...runSpecs(model.config, lora, capacity, options), ...operands]);
    const { queue } = model.gpu.device;
    const table = ropeTable(model.config.rope, model.config.headDim, capacity.positions);
    queue.writeBuffer(memory.get('rope.table'), 0, table);
    if (options.optim === 'adamw_8bit') {
      momentBlocks(lora).forEach(({ table }, i) => {
        queue.writeBuffer(memory.get(`lora.blocks.${i}`), 0, table);
      });
      const maps = [dynamicMap(true), dynamicMap(false)].flatMap((map) => [...map]);
      queue.writeBuffer(memory.get('adamw.maps'), 0, Float32Array.from(maps));
    }
    return new Session(model, lora, capacity, memory);
  }

  /** LoRA dropout of the passes from now on; null, as at first, for none. `forward` and `backward` need the same. */
  setDropout(pass: DropoutPass | null): void {
    this.#projections.dropout = pass;
  }

  /** DoRA: sets all magnitudes to the norms of the adapted weights' rows, as PEFT starts with. */
  startMagnitudes(): void {
    for (let i = 0; i < this.model.config.layers; i++) this.#projections.refresh(i, true);
  }

  /**
   * Uploads a pack's tables, and its rows of an embedding that stays in storage (otherwise it has all done when it
   * returns). Rejects with RangeError when the pack exceeds the capacity, or with the error of reading the rows.
   */
  async upload(pack: Pack): Promise<void> {
    for (const key of ['tokens', 'rows', 'entries', 'tiles', 'pairs'] as const) {
      if (pack[key] > this.capacity[key]) {
        throw new RangeError(`a pack of ${pack[key]} ${key} exceeds the planned ${this.capacity[key]}`);
      }
    }
    const tables: [string, Uint32Array<ArrayBuffer>][] = [
      ['pack.ids', pack.ids],
      ['pack.positions', pack.positions],
      ['pack.tiles', pack.tileTable],
      ['pack.rows', pack.rowTokens],
      ['pack.sides', pack.rowSides],
      ['pack.rowEntries', pack.rowEntries],
      ['pack.entries', pack.entryTable],
      ['pack.pairs', pack.pairTable],
    ];
    for (const [name, data] of tables) this.model.cmd.upload({ buffer: this.memory.get(name) }, data);
    const { stored } = this.model.weights;
    if (stored) this.model.cmd.upload({ buffer: this.memory.get('hidden.0') }, await stored.rows(pack.ids));
  }

  /** Forward of an uploaded pack up to its pairs' losses. Without `gradient` it is cheaper, and no `backward` may follow. */
  async forward(pack: Pack, gradient = true): Promise<void> {
    const { cmd, gpu, config, weights } = this.model;
    const view = (name: string) => ({ buffer: this.memory.get(name) });
    if (!weights.stored) {
      embedding(cmd, gpu.profile, weights.embedding, view('pack.ids'), pack.tokens, view('hidden.0'));
    }
    for (let i = 0; i < config.layers; i++) {
      this.#projections.refresh(i);
      this.#layers.forward(i, pack);
      await cmd.breathe();
    }
    await this.#head.forward(pack, gradient);
  }

  /** Backward of the same pack into lora.grad.*, adding to what is there when `accumulate`. */
  async backward(pack: Pack, accumulate: boolean): Promise<void> {
    const { cmd, config } = this.model;
    this.#head.backward(pack);
    for (let i = config.layers - 1; i >= 0; i--) {
      this.#layers.backward(i, pack, accumulate, i > 0);
      await cmd.breathe();
    }
  }

  destroy(): void {
    // What is recorded may name these buffers, and would be refused after they are gone.
    this.model.cmd.flush();
    this.memory.destroy();
    this.model.cmd.forgetBuffers();
  }
}
