import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { datasetName } from '../../src/worker/hub-dataset';
import { FIXTURES } from '../data/support';
import { ALL, openDesk, WHOLE } from './support';

const PARQUET = readFileSync(new URL('parquet/stories_snappy.parquet', FIXTURES));

/** The hub's two addresses that matter, with a public data set of two files and a gated one. */
let url: string;
let ranges: string[] = [];
let close: () => void;

beforeAll(async () => {
  const server = createServer((request, response) => {
    const path = request.url!;
    if (path.includes('gated') && request.headers.authorization !== 'Bearer hf_right') {
      return response.writeHead(401).end('{"error":"gated"}');
    }
    const listing = /^\/api\/datasets\/(someone\/\w+)\/parquet$/.exec(path);
    if (listing) {
      const file = (n: number) => `${url}/api/datasets/${listing[1]}/parquet/default/train/${n}.parquet`;
      return response
        .writeHead(200, { 'Content-Type': 'application/json' })
        .end(JSON.stringify({ default: { train: [file(0), file(1)], test: [file(0)] } }));
    }
    // As on the hub: the file lies elsewhere, and the answer says where.
    if (/\/parquet\/default\/train\/[01]\.parquet$/.test(path))
      return response.writeHead(302, { Location: '/file' }).end();
    if (path !== '/file') return response.writeHead(404).end('not here');
    if (request.method === 'HEAD') return response.writeHead(200, { 'Content-Length': PARQUET.length }).end();
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    ranges.push(request.headers.range ?? 'all');
    if (!range) return response.writeHead(200).end(PARQUET);
    return response.writeHead(206).end(PARQUET.subarray(Number(range[1]), Number(range[2]) + 1));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  close = () => {
    server.closeAllConnections();
    server.close();
  };
});
afterAll(() => close());
beforeEach(() => {
  ranges = [];
});

const source = (dataset: string, token?: string) => ({ hub: { dataset, config: 'default', split: 'train', token } });

describe('a data set of the hub', () => {
  it('is listed by configuration and split, and read by ranges', async () => {
    const { desk } = openDesk(null, url);
    const listing = await desk.handlers.hubListing({ dataset: 'https://huggingface.co/datasets/someone/open' });
    expect(listing).toEqual({
      dataset: 'someone/open',
      configs: [
        {
          name: 'default',
          splits: [
            { name: 'train', files: 2 },
            { name: 'test', files: 1 },
          ],
        },
      ],
    });
    const state = await desk.handlers.loadData({
      role: 'train',
      source: source('someone/open'),
      amount: ALL,
      split: WHOLE,
    });
    expect(state.train).toMatchObject({
      format: 'Parquet',
      name: 'someone/open train 1 of 2, someone/open train 2 of 2',
    });
    expect(state.trainPairs % 2).toBe(0);
    expect(ranges.length).toBeGreaterThan(1);
    expect(ranges).not.toContain('all');
  });

  it('is fetched no further than the row limit needs', async () => {
    const { desk } = openDesk(null, url);
    const amount = { kind: 'first', rows: 2 } as const;
    const state = await desk.handlers.loadData({ role: 'train', source: source('someone/open'), amount, split: WHOLE });
    expect(state.train).toMatchObject({ usable: 2, limited: true, name: 'someone/open train 1 of 2' });
  });

  it('that is gated opens with the right token only', async () => {
    const { desk } = openDesk(null, url);
    await expect(desk.handlers.hubListing({ dataset: 'someone/gated' })).rejects.toMatchObject({
      code: 'hub-no-access',
    });
    await expect(desk.handlers.hubListing({ dataset: 'someone/gated', token: 'hf_wrong' })).rejects.toMatchObject({
      message: expect.stringContaining('This token does not open'),
    });
    const state = await desk.handlers.loadData({
      role: 'train',
      source: source('someone/gated', 'hf_right'),
      amount: ALL,
      split: WHOLE,
    });
    expect(state.trainPairs).toBeGreaterThan(0);
  });

  it('that is not there, or behind a network that is not there, says so', async () => {
    const { desk } = openDesk(null, url);
    await expect(desk.handlers.hubListing({ dataset: 'other/none' })).rejects.toMatchObject({ code: 'hub-not-found' });
    const { desk: offline } = openDesk(null, 'http://127.0.0.1:9');
    await expect(offline.handlers.hubListing({ dataset: 'someone/open' })).rejects.toMatchObject({
      code: 'hub-unreachable',
      message: expect.stringContaining('cannot be reached (127.0.0.1:9)'),
    });
  });

  it.each([
    ['someone/open', 'someone/open'],
    [' https://huggingface.co/datasets/a/b-c.d/viewer?x=1 ', 'a/b-c.d'],
    ['datasets/a/b', 'a/b'],
    ['imdb', 'imdb'],
  ])('%j is called %s', (typed, name) => expect(datasetName(typed)).toBe(name));

  it.each(['', 'a b', '../etc', 'a/..', 'a/b%2f'])('%j is no name', (typed) =>
    expect(() => datasetName(typed)).toThrow(/is not the name/),
  );
});
