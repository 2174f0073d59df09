/** Rows of an embedding that stays in storage. */
import { expect, it } from 'vitest';
import { nf4Tensors } from '../../src/formats/bnb-nf4';
import { type ByteSource, type ModelFiles, memoryFiles } from '../../src/formats/bytes';
import { Checkpoint } from '../../src/formats/checkpoint';
import { decodeFloats, encodeFloats } from '../../src/formats/float';
import { quantizeNf4 } from '../../src/formats/nf4-codec';
import { EmbeddingRows } from '../../src/model/embedding-rows';
import { dequantiseNf4 } from '../reference/nf4';
import { createRng } from '../reference/rng';
import { safetensors } from './support';

const VOCAB = 300;
const HIDDEN = 64;
const values = Float32Array.from(createRng(1).normals(VOCAB * HIDDEN));
const NAME = 'model.embed_tokens.weight';
const ids = [299, 0, 7, 8, 7, 150, 9, 299];

/** The checkpoint of these tensors, and the byte ranges that were read of it. */
async function open(tensors: Parameters<typeof safetensors>[0]) {
  const reads: [number, number][] = [];
  const files = memoryFiles({ 'config.json': '{}', 'model.safetensors': safetensors(tensors) });
  const watched: ModelFiles = {
    ...files,
    async open(name): Promise<ByteSource> {
      const source = await files.open(name);
      return {
        size: source.size,
        read(begin, end) {
          reads.push([begin, end]);
          return source.read(begin, end);
        },
      };
    },
  };
  const checkpoint = await Checkpoint.open(watched);
  reads.length = 0;
  return { rows: new EmbeddingRows(checkpoint, NAME, VOCAB, HIDDEN), reads };
}

const expected = (all: ArrayLike<number>) =>
  Float32Array.from(ids.flatMap((id) => Array.from({ length: HIDDEN }, (_, i) => all[id * HIDDEN + i])));

it.each(['F32', 'BF16', 'F16'] as const)('%s rows, in the order asked for', async (dtype) => {
  const bytes = encodeFloats(values, dtype);
  const { rows } = await open([{ name: NAME, dtype, shape: [VOCAB, HIDDEN], bytes }]);
  expect(await rows.rows(ids)).toEqual(expected(decodeFloats(bytes, dtype)));
});

it('reads neighbours together, each row once, and nothing else', async () => {
  const bytes = encodeFloats(values, 'F32');
  const { rows, reads } = await open([{ name: NAME, dtype: 'F32', shape: [VOCAB, HIDDEN], bytes }]);
  await rows.rows(ids);
  const row = HIDDEN * 4;
  expect(reads.map(([begin, end]) => (end - begin) / row).sort()).toEqual([1, 1, 1, 3]);
  reads.length = 0;
  await rows.rows([8, 299]);
  expect(reads).toEqual([]);
  await rows.rows([8, 10]);
  expect(reads.length).toBe(1);
});

it('reads NF4 rows as the kernels would', async () => {
  const q = quantizeNf4(values);
  const { rows } = await open(nf4Tensors(NAME, q, [VOCAB, HIDDEN], 'bfloat16'));
  const { codes, ...nested } = q.nested!;
  const map = nf4Tensors('x', q, [1, 1], 'bfloat16').find((t) => t.name === 'x.quant_map')!.bytes;
  const quantMap = new Float32Array(map.slice().buffer);
  expect(await rows.rows(ids)).toEqual(
    expected(dequantiseNf4({ packed: q.packed, quantMap, blocksize: 64, absmax: codes, nested })),
  );
});

it('refuses a token beyond the vocabulary', async () => {
  const { rows } = await open([
    { name: NAME, dtype: 'F32', shape: [VOCAB, HIDDEN], bytes: encodeFloats(values, 'F32') },
  ]);
  await expect(rows.rows([3, VOCAB])).rejects.toThrow('token 300 is beyond the vocabulary of 300');
});
