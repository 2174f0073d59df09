/**
 * Quantising to NF4 while a checkpoint streams in: codes and block maxima on the GPU, piece by piece; the maxima, one in
 * 64 values, come back and are quantised a second time here. The bytes are those of bitsandbytes.
 */
import { isNf4 } from '../formats/bnb-nf4';
import type { Checkpoint } from '../formats/checkpoint';
import { decodeFloats, encodeFloats, FLOAT_BYTES, type FloatDtype, isFloatDtype } from '../formats/float';
import { NF4_CODE, type Nf4Quantized, quantizeAbsmax } from '../formats/nf4-codec';
import type { Commands } from '../gpu/commands';
import { bufferSpec, Memory } from '../gpu/memory';
import { quantizeNf4Piece } from '../ops/quantize_nf4';
import { ConfigError } from './config';
import type { WeightTable } from './plan';

/** How to quantise; the names' meanings are bitsandbytes'. */
export interface QuantizeOptions {
  /** Quantise the block maxima as well (bnb_4bit_use_double_quant). */
  doubleQuant?: boolean;
  /** Weights are rounded to this first: bitsandbytes sees a model in the dtype in which it was loaded. */
  sourceDtype?: FloatDtype;
  /** Linear layers whose name contains one of these stay as they are. */
  skipModules?: readonly string[];
}

export const QUANTIZE_DEFAULTS: Required<QuantizeOptions> = {
  doubleQuant: true,
  sourceDtype: 'BF16',
  skipModules: ['lm_head', 'embed_tokens'],
};

/** Elements of one piece; a multiple of 64. */
const PIECE = 2 ** 20;
const BLOCK = 64;

/** The scales of an NF4 tensor. */
export type Nf4Scales = Pick<Nf4Quantized, 'absmax' | 'nested'> & { quantMap: Readonly<Float32Array> };

export class Nf4Quantizer {
  readonly #cmd: Commands;
  readonly #options: Required<QuantizeOptions>;
  /** One piece of weights, and the maxima of one tensor; only while loading. */
  readonly #scratch: Memory;

  private constructor(cmd: Commands, options: Required<QuantizeOptions>, scratch: Memory) {
    this.#cmd = cmd;
    this.#options = options;
    this.#scratch = scratch;
  }

  /** @param elements of the largest tensor that will be quantised */
  static async create(cmd: Commands, options: QuantizeOptions, elements: number): Promise<Nf4Quantizer> {
    const scratch = new Memory(cmd.device);
    await scratch.allocate([
      bufferSpec('quantize.piece', 'other', Math.min(elements, PIECE) * 4),
      bufferSpec('quantize.absmax', 'other', Math.ceil(elements / BLOCK) * 4),
    ]);
    return new Nf4Quantizer(cmd, { ...QUANTIZE_DEFAULTS, ...options }, scratch);
  }

  /**
   * Quantises a tensor into its parts' buffers.
   * @param parts rows and buffer of each part, in order
   * @param report called with the bytes read since the last call
   */
  async quantize(
    checkpoint: Checkpoint,
    table: WeightTable,
    parts: readonly { rows: number; buffer: GPUBuffer }[],
    report: (bytes: number) => void,
  ): Promise<Nf4Scales> {
    const { name, columns } = table;
    const { dtype } = checkpoint.tensor(name);
    if (!isFloatDtype(dtype)) throw new ConfigError(`${name} is stored as ${dtype} and cannot be quantised.`);
    if (parts.length > 1 && columns % BLOCK) {
      throw new ConfigError(
        `${name}: rows of ${columns} values cannot be quantised in parts; blocks would straddle them.`,
      );
    }
    const source = { buffer: this.#scratch.get('quantize.piece') };
    const absmax = { buffer: this.#scratch.get('quantize.absmax') };
    const format = this.#options.sourceDtype;
    let before = 0;
    for (const { rows, buffer } of parts) {
      const total = rows * columns;
      const size = FLOAT_BYTES[dtype];
      const begin = before * size;
      for await (const { at, bytes } of checkpoint.pieces(name, begin, begin + total * size, PIECE * size)) {
        const elements = bytes.byteLength / size;
        const first = at / size - before;
        this.#cmd.upload(source, rounded(bytes, dtype, format));
        const codes = { buffer };
        const firstBlock = (before + first) / BLOCK;
        quantizeNf4Piece(this.#cmd, { source, format, elements, codes, firstElement: first, absmax, firstBlock });
        report(bytes.byteLength);
        await this.#cmd.breathe();
      }
      before += total;
    }
    const maxima = new Float32Array(await this.#cmd.read(absmax, Math.ceil(before / BLOCK) * 4));
    const { doubleQuant } = this.#options;
    return {
      quantMap: NF4_CODE,
      absmax: doubleQuant ? null : maxima,
      nested: doubleQuant ? quantizeAbsmax(maxima) : null,
    };
  }

  destroy(): void {
    this.#scratch.destroy();
    this.#cmd.forgetBuffers();
  }
}

function rounded(bytes: Uint8Array<ArrayBuffer>, from: FloatDtype, to: FloatDtype): Uint8Array<ArrayBuffer> {
  return from === to ? bytes : (encodeFloats(decodeFloats(bytes, from), to) as Uint8Array<ArrayBuffer>);
}

/** Whether these options quantise this tensor: a linear layer, still in floats and not skipped. */
export function quantizes(checkpoint: Checkpoint, name: string, options: QuantizeOptions): boolean {
  const { skipModules } = { ...QUANTIZE_DEFAULTS, ...options };
  const linear = name === 'lm_head.weight' || name.endsWith('_proj.weight');
  return linear && !skipModules.some((skip) => name.includes(skip)) && !isNf4(checkpoint, name);
}
