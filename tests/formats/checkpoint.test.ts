import { describe, expect, it } from 'vitest';
import { memoryFiles } from '../../src/formats/bytes';
import { Checkpoint, CheckpointError } from '../../src/formats/checkpoint';
import { SafetensorsError, serializeSafetensorsHeader, type TensorSpec } from '../../src/formats/safetensors';
import { folderFiles, repositoryPath } from '../support/files';

function weights(specs: TensorSpec[]): Uint8Array {
  const layout = serializeSafetensorsHeader(specs);
  const bytes = Uint8Array.from({ length: layout.size }, (_, i) => i & 255);
  bytes.set(layout.header);
  return bytes;
}
const t = (name: string, shape = [2, 3]): TensorSpec => ({ name, dtype: 'F32', shape });
const index = (weight_map: unknown) => JSON.stringify({ metadata: {}, weight_map });
const sharded = {
  'config.json': '{"model_type":"llama"}',
  'model.safetensors.index.json': index({ a: 'one.safetensors', b: 'two.safetensors' }),
  'one.safetensors': weights([t('a')]),
  'two.safetensors': weights([t('b')]),
};
const code = (files: Record<string, Uint8Array | string>) =>
  Checkpoint.open(memoryFiles(files)).then(
    () => 'opened',
    (e: unknown) => (e instanceof CheckpointError ? [e.code, e.file, e.tensor] : e),
  );

describe('a model in one file', () => {
  it('knows its tensors and reads ranges of them', async () => {
    const folder = await folderFiles(repositoryPath('public/models/stories-260k'));
    const reads: [number, number][] = [];
    const checkpoint = await Checkpoint.open({
      names: folder.names,
      async open(name) {
        const source = await folder.open(name);
        return {
          size: source.size,
          read(begin, end) {
            reads.push([begin, end]);
            return source.read(begin, end);
          },
        };
      },
    });
    expect(checkpoint.config.hidden_size).toBe(64);
    expect(checkpoint.names()).toHaveLength(47);
    expect(checkpoint.has('lm_head.weight')).toBe(false);
    expect(checkpoint.tensor('model.norm.weight')).toEqual({
      name: 'model.norm.weight',
      dtype: 'F32',
      shape: [64],
      byteLength: 256,
      file: 'model.safetensors',
    });
    reads.length = 0;
    const all = await checkpoint.read('model.embed_tokens.weight');
    const part = await checkpoint.read('model.embed_tokens.weight', 1000, 1010);
    expect(part).toEqual(all.slice(1000, 1010));
    expect(reads.map(([begin, end]) => end - begin)).toEqual([512 * 64 * 4, 10]);
    await expect(checkpoint.read('model.norm.weight', 0, 257)).rejects.toMatchObject({ code: 'bad-range' });
    await expect(checkpoint.read('model.norm.weight', 300)).rejects.toMatchObject({ code: 'bad-range' });
  });

  it('checks shapes, naming tensor and both shapes', async () => {
    const checkpoint = await Checkpoint.open(await folderFiles(repositoryPath('public/models/stories-260k')));
    expect(checkpoint.expect('model.norm.weight', [64]).byteLength).toBe(256);
    expect(() => checkpoint.expect('model.norm.weight', [64, 1])).toThrow(/model\.norm\.weight.*\[64\].*\[64,1\]/);
    expect(() => checkpoint.expect('lm_head.weight', [512, 64])).toThrow(/no tensor lm_head\.weight.*\[512,64\]/);
    expect(() => checkpoint.tensor('lm_head.weight')).toThrow(CheckpointError);
  });
});

describe('a model in shards', () => {
  it('finds each tensor in its shard', async () => {
    const checkpoint = await Checkpoint.open(memoryFiles(sharded));
    expect(checkpoint.names()).toEqual(['a', 'b']);
    expect(checkpoint.tensor('b').file).toBe('two.safetensors');
    expect(await checkpoint.read('b')).toHaveLength(24);
  });

  it('opens the built-in 4-bit model', async () => {
    const checkpoint = await Checkpoint.open(await folderFiles(repositoryPath('public/models/pocket-15m-bnb-4bit')));
    expect(checkpoint.tensor('model.layers.7.mlp.up_proj.weight').shape).toEqual([196608, 1]);
  });

  it('names what is missing or contradictory', async () => {
    const { 'two.safetensors': _, ...withoutTwo } = sharded;
    expect(await code(withoutTwo)).toEqual(['missing-shard', 'two.safetensors', undefined]);
    expect(await code({ ...sharded, 'two.safetensors': weights([t('c')]) })).toEqual([
      'missing-tensor',
      'two.safetensors',
      'b',
    ]);
    expect(await code({ ...sharded, 'two.safetensors': weights([t('a'), t('b')]) })).toEqual([
      'bad-index',
      'two.safetensors',
      'a',
    ]);
    expect(await code({ ...sharded, 'model.safetensors.index.json': '{}' })).toMatchObject([
      'bad-index',
      expect.anything(),
      undefined,
    ]);
    expect(await code({ 'config.json': '{}' })).toMatchObject(['missing-weights', undefined, undefined]);
    expect(await code({ 'model.safetensors': weights([t('a')]) })).toMatchObject([
      'missing-config',
      'config.json',
      undefined,
    ]);
  });

  it('names the shard that is cut off', async () => {
    const cut = weights([t('b')]).slice(0, -1);
    const error = await code({ ...sharded, 'two.safetensors': cut });
    expect(error).toBeInstanceOf(SafetensorsError);
    expect((error as SafetensorsError).message).toMatch(/^two\.safetensors, tensor b: /);
  });
});
