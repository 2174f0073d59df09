import { describe, expect, it } from 'vitest';
import { exportMerged, type MergedExport } from '../../src/export/export';
import { cpuMerger } from '../../src/export/merge';
import { MemorySink } from '../../src/export/sink';
import { dequantizeWeight, isNf4, nf4State } from '../../src/formats/bnb-nf4';
import { memoryFiles, memorySource } from '../../src/formats/bytes';
import { Checkpoint } from '../../src/formats/checkpoint';
import { decodeFloats, type FloatDtype } from '../../src/formats/float';
import { ADAPTER_FILE, loraScale, parseAdapterConfig, readAdapter } from '../../src/formats/peft';
import { fixture, folderFiles, repositoryPath } from '../support/files';

const golden = (name: string) => fixture(`tests/goldens/stories-260k-lora/${name}`);
const adapter = await readAdapter(memorySource(await golden(ADAPTER_FILE)));
const config = parseAdapterConfig(new TextDecoder().decode(await golden('adapter_config.json')));
const merger = cpuMerger(adapter, loraScale(config));
const open = async (path: string) => Checkpoint.open(await folderFiles(repositoryPath(path)));
const stories = await open('public/models/stories-260k');
const storiesNf4 = await open('tests/fixtures/models/stories-260k-bnb-4bit');
const isLinear = (name: string) => /_proj\.weight$/u.test(name);

async function merge(checkpoint: Checkpoint, options: Partial<MergedExport>): Promise<Checkpoint> {
  const sink = new MemorySink();
  await exportMerged({ checkpoint, merger, dtype: 'F32', card: '# A card\n', sink, ...options });
  return Checkpoint.open(memoryFiles(Object.fromEntries(sink.files)));
}

async function values(checkpoint: Checkpoint, name: string): Promise<Float32Array> {
  if (isNf4(checkpoint, name)) return dequantizeWeight(checkpoint, await nf4State(checkpoint, name));
  return decodeFloats(await checkpoint.read(name), checkpoint.tensor(name).dtype as FloatDtype);
}

function distance(a: Float32Array, b: Float32Array): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < a.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    size += b[i] ** 2;
  }
  return Math.sqrt(difference / size);
}

describe('what an adapter is merged into', () => {
  it('trained on NF4 made while loading: the dequantised base, as the pre-quantised checkpoint gives', async () => {
    const ours = await merge(stories, { base: 'trained', quantize: {} });
    const theirs = await merge(storiesNf4, { base: 'trained' });
    for (const name of ours.names()) {
      expect(Buffer.compare(await ours.read(name), await theirs.read(name)), name).toBe(0);
    }
  });

  it('source: the 16- or 32-bit weights, whatever training saw', async () => {
    const ours = await merge(stories, { base: 'source', quantize: {} });
    const plain = await merge(stories, { base: 'trained' });
    for (const name of ours.names()) expect(Buffer.compare(await ours.read(name), await plain.read(name))).toBe(0);
  });

  it('nf4: a bitsandbytes checkpoint again, one quantisation away from the merged weights', async () => {
    const ours = await merge(storiesNf4, { base: 'nf4' });
    const merged = await merge(storiesNf4, { base: 'trained' });
    expect(ours.names().toSorted()).toEqual(storiesNf4.names().toSorted());
    expect(ours.config.quantization_config).toBeTruthy();
    let worst = 0;
    for (const name of merged.names().filter(isLinear)) {
      expect(isNf4(ours, name)).toBe(true);
      const d = distance(await values(ours, name), await values(merged, name));
      expect(d, name).toBeGreaterThan(0);
      worst = Math.max(worst, d);
    }
    // NF4 keeps normally distributed weights to about 9 % of their norm.
    expect(worst).toBeLessThan(0.13);
  });
});
