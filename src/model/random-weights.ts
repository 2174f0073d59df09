/** Weights and whole models of random numbers, made in GPU memory: for checks and benchmarks, which need their shapes, not their sense. */
import { dynamicMap, NF4_CODE } from '../formats/nf4-codec';
import { Commands } from '../gpu/commands';
import type { Gpu } from '../gpu/device';
import { Memory } from '../gpu/memory';
import type { Weight, WeightFormat } from '../ops/weight';
import type { LlamaConfig } from './config';
import { NF4_TABLE, partRows, scaleWords, type WeightTable, weightSpecs, weightTables } from './plan';
import type { LoadedModel } from './session';
import { Weights } from './weights';

/** A source of pseudo-random bits, 1 MiB at a time. */
class Bits {
  readonly words = new Uint32Array(2 ** 18);
  #state = 1;

  refill(): Uint32Array<ArrayBuffer> {
    for (let i = 0; i < this.words.length; i++) {
      this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
      this.words[i] = Math.imul(this.#state ^ (this.#state >>> 15), 0x2c1b3c6d);
    }
    return this.words;
  }
}

/** Random values of about +-`size` in a format, as words. */
function randomWords(bits: Uint32Array<ArrayBuffer>, format: WeightFormat, size: number): Uint32Array<ArrayBuffer> {
  if (format === 'NF4') return bits;
  if (format === 'F32') {
    const values = Float32Array.from(bits, (b) => size * (b / 2 ** 31 - 1));
    return new Uint32Array(values.buffer);
  }
  // Sign and fraction at random, the exponent fixed.
  const [exponent, fraction] = format === 'BF16' ? [127 << 7, 0x7f] : [15 << 10, 0x3ff];
  const shift = Math.round(Math.log2(size)) * (fraction + 1);
  const half = (exponent + shift) & 0x7fff;
  const both = half | (half << 16);
  return bits.map((b) => both | (b & (fraction | (fraction << 16) | 0x80008000)));
}

/** Fills the buffers of the tables that `memory` holds and names them as weights. */
export function fillWeights(memory: Memory, tables: readonly WeightTable[], size = 0.02): Map<string, Weight> {
  const { queue, limits } = memory.device;
  const bits = new Bits();
  const weights = new Map<string, Weight>();
  const cache = new Map<WeightFormat, Uint32Array<ArrayBuffer>>();
  for (const table of tables) {
    const words = cache.get(table.format) ?? randomWords(bits.refill().slice(), table.format, size);
    cache.set(table.format, words);
    let firstRow = 0;
    const parts = partRows(table, limits).map((rows, i) => {
      const buffer = memory.get(`${table.name}#${i}`);
      for (let at = 0; at < buffer.size; at += words.byteLength) {
        queue.writeBuffer(buffer, at, words, 0, Math.min(words.length, (buffer.size - at) / 4));
      }
      firstRow += rows;
      return { firstRow: firstRow - rows, rows, data: { buffer }, offset: 0 };
    });
    const weight: Weight = { ...table, parts };
    weights.set(table.name, table.format === 'NF4' ? { ...weight, ...fillScales(memory, table, size) } : weight);
  }
  return weights;
}

function fillScales(memory: Memory, table: WeightTable, size: number) {
  const buffer = memory.get(`${table.name}.scales`);
  const elements = table.rows * table.columns;
  const words = new Uint32Array(scaleWords(elements, true));
  const floats = new Float32Array(words.buffer);
  const nestedBlocks = Math.ceil(Math.ceil(elements / 64) / 256);
  floats.set(dynamicMap(true), 0);
  floats.set(NF4_CODE, 256);
  floats.fill(size / 2, NF4_TABLE, NF4_TABLE + nestedBlocks);
  const codes = new Uint8Array(words.buffer, (NF4_TABLE + nestedBlocks) * 4);
  for (let i = 0; i < codes.length; i++) codes[i] = (i * 37) & 0xff;
  memory.device.queue.writeBuffer(buffer, 0, words);
  return { scales: { buffer }, nestedBlocks, nestedOffset: size };
}

/** One random matrix with memory of its own. */
export async function randomMatrix(
  device: GPUDevice,
  rows: number,
  columns: number,
  format: WeightFormat,
): Promise<{ weight: Weight; memory: Memory }> {
  const memory = new Memory(device);
  const tables = [{ name: 'w', rows, columns, format }];
  await memory.allocate(weightSpecs(tables, device.limits));
  return { weight: fillWeights(memory, tables).get('w')!, memory };
}

/**
 * A random model with projections in one format and the embedding, which is also the head, in another.
 * @param projections one format, or that of the weight of a name
 */
export async function randomModel(
  gpu: Gpu,
  config: LlamaConfig,
  projections: WeightFormat | ((name: string) => WeightFormat),
  embedding: WeightFormat,
): Promise<LoadedModel> {
  const weightMemory = new Memory(gpu.device);
  const formatOf = typeof projections === 'function' ? projections : () => projections;
  const tables = weightTables(config, (name) => (name.includes('embed') ? embedding : formatOf(name)));
  await weightMemory.allocate(weightSpecs(tables, gpu.device.limits));
  const weights = new Weights(fillWeights(weightMemory, tables), null);
  return { gpu, cmd: new Commands(gpu.device), config, weights, weightMemory };
}
