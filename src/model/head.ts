/**
 * Final norm, head and ORPO loss without a logits tensor: one tile of logits at a time, made once. Each tile is folded
 * into a log-sum-exp per row and, when a backward follows, multiplied back through the head as exp(z - max): the softmax's
 * weighted sum of the head's rows grows along with its normaliser, as in flash attention. Once every pair's loss and so every
 * entry's weight is known, that sum needs only a factor and the targets' rows to be the gradient.
 */
import type { Pack } from '../data/packing';
import type { Commands, View } from '../gpu/commands';
import type { Memory } from '../gpu/memory';
import type { KernelProfile } from '../gpu/profile';
import type { HalfOperands } from '../ops/half';
import {
  columnMean,
  entryLogits,
  headGradient,
  type LogitsTile,
  rowMeanLogit,
  rowStats,
  softmaxTile,
} from '../ops/logits';
import { MatmulOps } from '../ops/matmul';
import { orpoLoss } from '../ops/orpo_loss';
import { rmsNorm, rmsNormBackward } from '../ops/rmsnorm';
import type { LlamaConfig } from './config';
import { headTile, type PackCapacity } from './plan';
import type { Weights } from './weights';

/** The tiles of at most `size` that cover rows by vocabulary, one after the other in the same buffer. */
export function* logitTiles(
  view: View,
  size: { rows: number; columns: number },
  allRows: number,
  vocabSize: number,
): Generator<LogitsTile> {
  for (let firstRow = 0; firstRow < allRows; firstRow += size.rows) {
    const rows = Math.min(size.rows, allRows - firstRow);
    for (let firstColumn = 0; firstColumn < vocabSize; firstColumn += size.columns) {
      const columns = Math.min(size.columns, vocabSize - firstColumn);
      yield { view, ld: size.columns, rows, firstRow, columns, firstColumn };
    }
  }
}

export class HeadRunner {
  readonly #cmd: Commands;
  readonly #profile: KernelProfile;
  readonly #config: LlamaConfig;
  readonly #weights: Weights;
  readonly #memory: Memory;
  readonly #matmul: MatmulOps;
  readonly #tile: { rows: number; columns: number };
  #meanReady = false;

  constructor(
    cmd: Commands,
    profile: KernelProfile,
    config: LlamaConfig,
    weights: Weights,
    memory: Memory,
    capacity: PackCapacity,
    half?: HalfOperands,
  ) {
    this.#cmd = cmd;
    this.#profile = profile;
    this.#config = config;
    this.#weights = weights;
    this.#memory = memory;
    this.#matmul = new MatmulOps(cmd, profile, { partials: { buffer: memory.get('matmul.partials') }, half });
    this.#tile = headTile(config, capacity);
  }

  /** Losses of the pack's pairs into pack.results, entry weights into head.weights. `gradient`: `backward` follows. */
  async forward(pack: Pack, gradient: boolean): Promise<void> {
    const view = this.#view;
    if (!this.#meanReady) {
      columnMean(this.#cmd, this.#weights.head, view('head.mean'));
      this.#meanReady = true;
    }
    rmsNorm(this.#cmd, this.#profile, this.#normArgs(pack), view('head.normed'));
    for (const tile of this.#tiles(pack)) {
      this.#logits(tile);
      if (gradient) this.#weigh(tile);
      else rowStats(this.#cmd, this.#profile, tile, view('head.stats'));
      await this.#cmd.breathe();
    }
    const entries = view('pack.entries');
    const hidden = view('head.normed');
    entryLogits(this.#cmd, this.#profile, this.#weights.head, entries, pack.entries, hidden, view('head.z'));
    rowMeanLogit(this.#cmd, this.#profile, pack.rows, this.#config.hiddenSize, {
      hidden,
      mean: view('head.mean'),
      sides: view('pack.sides'),
      row_logits: view('head.logits'),
    });
    orpoLoss(this.#cmd, this.#profile, pack.pairs, {
      entries,
      pairs: view('pack.pairs'),
      stats: view('head.stats'),
      z: view('head.z'),
      row_logits: view('head.logits'),
      weights: view('head.weights'),
      results: view('pack.results'),
    });
  }

  /** grad.hidden becomes the gradient of the last layer's output. Needs `forward` of the same pack. */
  backward(pack: Pack): void {
    const view = this.#view;
    const grad = view('head.grad');
    headGradient(this.#cmd, this.#profile, this.#weights.head, pack.rows, {
      ...this.#rowViews,
      grad,
      weights: view('head.weights'),
      z: view('head.z'),
    });
    const hidden = view('grad.hidden');
    this.#cmd.clear({ ...hidden, size: pack.tokens * this.#config.hiddenSize * 4 });
    rmsNormBackward(this.#cmd, this.#profile, this.#normArgs(pack), grad, hidden);
  }

  readonly #view = (name: string): View => ({ buffer: this.#memory.get(name) });

  #normArgs(pack: Pack) {
    const { hiddenSize: hidden, rmsNormEps: eps, layers } = this.#config;
    const gain = this.#weights.get('model.norm.weight').parts[0].data;
    return { x: this.#view(`hidden.${layers}`), gain, rows: pack.rows, hidden, eps, gather: this.#view('pack.rows') };
  }

  get #rowViews() {
    return {
      stats: this.#view('head.stats'),
      entries: this.#view('pack.entries'),
      row_entries: this.#view('pack.rowEntries'),
    };
  }

  /** Adds a tile's share of the softmax's weighted sum of the head's rows. */
  #weigh(tile: LogitsTile): void {
    const { hiddenSize } = this.#config;
    const weighted = this.#view('head.grad');
    softmaxTile(this.#cmd, this.#profile, tile, hiddenSize, { ...this.#rowViews, weighted });
    this.#matmul.backward(
      this.#weights.head,
      tile.rows,
      { view: tile.view, ld: tile.ld },
      { view: weighted, ld: hiddenSize, offset: tile.firstRow * hiddenSize },
      { accumulate: tile.firstColumn > 0 },
      [tile.firstColumn, tile.firstColumn + tile.columns],
    );
  }

  #logits(tile: LogitsTile): void {
    const { hiddenSize } = this.#config;
    this.#matmul.forward(
      this.#weights.head,
      tile.rows,
      { view: this.#view('head.normed'), ld: hiddenSize, offset: tile.firstRow * hiddenSize },
      { view: tile.view, ld: tile.ld },
      {},
      [tile.firstColumn, tile.firstColumn + tile.columns],
    );
  }

  #tiles(pack: Pack): Generator<LogitsTile> {
    return logitTiles(this.#view('head.tile'), this.#tile, pack.rows, this.#config.vocabSize);
  }
}
