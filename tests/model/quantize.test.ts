/** Checkpoints quantised while they load, against bitsandbytes' own. */
import { describe, expect, it } from 'vitest';
import { loadModel, type OpenModel } from '../../src/model/load';
import { folderFiles, repositoryPath } from '../support/files';
import { device, testGpu } from './support';

const open = async (folder: string, quantize?: Parameters<typeof loadModel>[3]) =>
  loadModel(testGpu(), await folderFiles(repositoryPath(folder)), undefined, quantize);

/** Bytes of all weights on the GPU, by buffer. */
async function buffers({ weightMemory, cmd }: OpenModel): Promise<Map<string, Uint8Array>> {
  const out = new Map<string, Uint8Array>();
  for (const { name, bytes } of weightMemory.specs) {
    out.set(name, new Uint8Array(await cmd.read({ buffer: weightMemory.get(name) }, bytes)));
  }
  return out;
}

const differing = (a: Uint8Array, b: Uint8Array) => a.reduce((n, byte, i) => n + (byte === b[i] ? 0 : 1), 0);

describe('quantising a checkpoint to NF4 while it loads', () => {
  it('gives the bytes of bitsandbytes for all of stories-260k', async () => {
    const ours = await open('public/models/stories-260k', { quantize: 'nf4' });
    const theirs = await open('tests/fixtures/models/stories-260k-bnb-4bit');
    const [a, b] = [await buffers(ours), await buffers(theirs)];
    const quantised = [...b.keys()].filter((name) => name.includes('_proj'));
    expect(quantised.length).toBe(2 * 35);
    for (const name of quantised) {
      expect(a.get(name)!.length, name).toBe(b.get(name)!.length);
      expect(differing(a.get(name)!, b.get(name)!), name).toBe(0);
    }
    for (const [name, weight] of theirs.weights.byName) {
      const { format, nestedBlocks, nestedOffset } = ours.weights.get(name);
      if (weight.format !== 'NF4') continue;
      expect({ format, nestedBlocks, nestedOffset }, name).toEqual({
        format: 'NF4',
        nestedBlocks: weight.nestedBlocks,
        nestedOffset: weight.nestedOffset,
      });
    }
    // Plain loading keeps floats; the embedding and the norms stay what they are.
    expect((await open('public/models/stories-260k')).weights.get('model.layers.0.mlp.up_proj.weight').format).toBe(
      'F32',
    );
    expect(ours.weights.embedding.format).toBe('F32');
    expect(device.limits.maxBufferSize).toBeGreaterThan(0);
  });

  it('leaves alone what is NF4 already, and what is to be skipped', async () => {
    const stored = await open('tests/fixtures/models/stories-260k-bnb-4bit');
    const again = await open('tests/fixtures/models/stories-260k-bnb-4bit', { quantize: 'nf4' });
    const [a, b] = [await buffers(stored), await buffers(again)];
    for (const [name, bytes] of a) expect(differing(bytes, b.get(name)!), name).toBe(0);
    const skipping = await open('public/models/stories-260k', { quantize: { skipModules: ['o_proj', 'lm_head'] } });
    expect(skipping.weights.get('model.layers.1.self_attn.o_proj.weight').format).toBe('F32');
    expect(skipping.weights.get('model.layers.1.self_attn.q_proj.weight').format).toBe('NF4');
  });

  it('without double quantisation keeps f32 maxima', async () => {
    const single = await open('public/models/stories-260k', { quantize: { doubleQuant: false } });
    const double = await open('public/models/stories-260k', { quantize: 'nf4' });
    const name = 'model.layers.2.mlp.gate_proj.weight';
    const [a, b] = [await buffers(single), await buffers(double)];
    expect(differing(a.get(`${name}#0`)!, b.get(`${name}#0`)!)).toBe(0);
    expect(single.weights.get(name).nestedBlocks).toBe(0);
    expect(a.get(`${name}.scales`)!.length).toBe(4 * (272 + Math.ceil((172 * 64) / 64)));
  });
});
