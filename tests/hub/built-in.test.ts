import { readdir, readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { checkIndex, checkManifest } from '../../src/hub/manifest';
import { repositoryPath } from '../support/files';
import { sha256 } from '../support/model-server';

const models = repositoryPath('public/models');
const json = async (path: string) => JSON.parse(await readFile(`${models}/${path}`, 'utf8'));

it('lists each built-in model with the lengths and hashes of its files', async () => {
  const offers = checkIndex(await json('index.json'), 'index.json');
  expect(offers.map((offer) => offer.id)).toEqual(['pocket-15m-bnb-4bit', 'stories-260k']);
  for (const offer of offers) {
    const manifest = checkManifest(await json(`${offer.id}/manifest.json`), 'manifest.json');
    const { downloadBytes, ...about } = offer;
    const { files, ...rest } = manifest;
    expect(rest).toEqual(about);
    expect(downloadBytes).toBe(files.reduce((sum, file) => sum + file.size, 0));
    const names = (await readdir(`${models}/${offer.id}`)).filter((n) => n !== 'manifest.json' && n !== 'offer.json');
    expect(files.map((file) => file.name)).toEqual(names.sort());
    for (const { name, size, sha256: hash } of files) {
      const bytes = await readFile(`${models}/${offer.id}/${name}`);
      expect([name, bytes.length, sha256(bytes)]).toEqual([name, size, hash]);
    }
  }
});
