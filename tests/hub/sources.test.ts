/** Where models come from: what of a repository, a web folder or a folder on disk is taken, and what is refused. */
import 'fake-indexeddb/auto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { folderFiles, localModel, topFiles } from '../../src/hub/folder';
import { ensureModel, openModel } from '../../src/hub/model';
import { hubModel, repositoryName } from '../../src/hub/repository';
import { folderUrl, urlModel } from '../../src/hub/url-folder';
import { IndexedDbModelStore } from '../../src/storage/indexed-db';
import { isComplete } from '../../src/storage/store';
import { filesOf } from '../support/hub/repo';
import { type LocalHub, serveHub } from '../support/hub/server';
import { tinyRepository, weightsOf } from '../support/hub/tiny';

const quick = { backoffMs: 1, attempts: 2 };
const shards = {
  'model-00001-of-00002.safetensors': weightsOf(0, 2),
  'model-00002-of-00002.safetensors': weightsOf(1),
};
let hub: LocalHub;
let databases = 0;
let store: IndexedDbModelStore;

beforeAll(async () => {
  hub = await serveHub();
  hub.pageSize = 3;
  const original = { 'original/consolidated.safetensors': weightsOf(0), 'chat_template.jinja': '{{ messages }}' };
  hub.add('someone/sharded', tinyRepository(shards, original), { license: 'llama3.2', gated: 'auto' });
  hub.tokens.set('hf_right', new Set(['someone/sharded']));
});
afterAll(() => hub.close());
beforeEach(() => {
  hub.log.length = 0;
  store = new IndexedDbModelStore(`sources-${++databases}`);
});

describe('a repository of the Hub', () => {
  it.each([
    ['a/b', 'a/b', 'main'],
    [' gpt2 ', 'gpt2', 'main'],
    ['a/b@v1.0', 'a/b', 'v1.0'],
    ['https://huggingface.co/meta-llama/Llama-3.2-1B/tree/refs%2Fpr%2F1?x=1', 'meta-llama/Llama-3.2-1B', 'refs/pr/1'],
    ['huggingface.co/a/b/', 'a/b', 'main'],
  ])('%j is %s at %s', (typed, repo, revision) => expect(repositoryName(typed)).toEqual({ repo, revision }));

  it.each(['', 'a b', '../etc/passwd', 'a/..', 'a/b/c'])('%j is none', (typed) =>
    expect(() => repositoryName(typed)).toThrow(/looks like owner\/name/),
  );

  it('gives the files that are needed, at the commit of its branch', async () => {
    const model = hubModel({ hubUrl: hub.url, token: 'hf_right' }, { repo: 'someone/sharded', revision: 'main' });
    const { record } = await ensureModel(store, model, quick);
    const commit = hub.repos.get('someone/sharded')!.refs.get('main');
    expect(record.about).toMatchObject({ commit, license: 'llama3.2', gated: true, source: { kind: 'hub' } });
    expect(record.files.map(({ name }) => name)).toEqual([
      'config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'chat_template.jinja',
      'model.safetensors.index.json',
      ...Object.keys(shards),
    ]);
    expect(isComplete(record)).toBe(true);
    expect(hub.log.filter(({ path }) => /resolve/.test(path)).every(({ path }) => path.includes(commit!))).toBe(true);
    expect(hub.log.filter(({ where, authorization }) => where === 'hub' && !authorization)).toEqual([]);
    expect(hub.log.filter(({ where, authorization }) => where === 'cdn' && authorization)).toEqual([]);
    // The listing came by pages, whose later addresses come from the Hub itself.
    expect(hub.log.filter(({ path }) => path.includes('/tree/')).length).toBeGreaterThan(2);
  });

  it.each([
    ['gguf', { 'model.Q8_0.gguf': 'x' }, /GGUF files, which cannot be trained/],
    ['adapter', { 'adapter_config.json': '{}' }, /is an adapter, not a whole model/],
    [
      'pickle',
      { 'config.json': '{}', 'pytorch_model.bin': 'x' },
      /no model\.safetensors .*only files such as pytorch_model\.bin/,
    ],
    [
      'torn',
      { 'config.json': '{}', 'model.safetensors.index.json': '{"weight_map":{"a":"x.safetensors"}}' },
      /no x\.safetensors, but its index/,
    ],
    [
      'sly',
      { 'config.json': '{}', 'model.safetensors.index.json': '{"weight_map":{"a":"../x.safetensors"}}' },
      /names no safetensors files/,
    ],
  ])('without usable weights (%s) is refused by what it holds', async (name, files, message) => {
    hub.add(`someone/${name}`, filesOf(files as Record<string, string>));
    const work = ensureModel(
      store,
      hubModel({ hubUrl: hub.url }, { repo: `someone/${name}`, revision: 'main' }),
      quick,
    );
    await expect(work).rejects.toMatchObject({
      code: 'unsupported-repository',
      message: expect.stringMatching(message),
    });
  });

  it('at a revision that it does not have says so', async () => {
    const work = ensureModel(store, hubModel({ hubUrl: hub.url }, { repo: 'someone/sharded', revision: 'v9' }), quick);
    await expect(work).rejects.toMatchObject({
      code: 'hub-not-found',
      message: expect.stringMatching(/Invalid rev id: v9\. someone\/sharded has no such revision/),
    });
  });
});

describe('a folder of a web server', () => {
  const folder = tinyRepository(shards);
  let web: Server;
  let url: string;
  let ranges = true;
  let etag = '"1"';

  beforeAll(async () => {
    web = createServer(async (request, response) => {
      const file = folder.get(request.url!.replace('/models/tiny/', ''));
      if (request.url!.startsWith('/spa/')) return response.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>');
      if (!file) return response.writeHead(404).end();
      const range = ranges ? /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') : null;
      const [begin, end] = range ? [Number(range[1]), Number(range[2]) + 1] : [0, file.size];
      const headers = range ? { 'Content-Range': `bytes ${begin}-${end - 1}/${file.size}` } : {};
      response.writeHead(range ? 206 : 200, { ...headers, ETag: etag, 'Content-Length': end - begin });
      response.end(request.method === 'HEAD' ? undefined : await file.read(begin, end));
    });
    await new Promise<void>((done) => web.listen(0, '127.0.0.1', done));
    url = `http://127.0.0.1:${(web.address() as AddressInfo).port}/models/tiny`;
  });
  afterAll(() => {
    web.closeAllConnections();
    web.close();
  });

  it.each([true, false])('comes whole, with ranges %s', async (with_) => {
    ranges = with_;
    const model = urlModel(folderUrl(`${url}/config.json`));
    const { record } = await ensureModel(store, model, quick);
    expect(record.files.every(({ sha256, version }) => sha256 === null && version === '"1"')).toBe(true);
    const file = await (await openModel(store, model)).open('model-00002-of-00002.safetensors');
    expect(Buffer.compare(await file.read(0, file.size), shards['model-00002-of-00002.safetensors'])).toBe(0);
    ranges = true;
  });

  it('whose files are replaced meanwhile is not mixed from both', async () => {
    const write = store.writeChunk.bind(store);
    const spy = vi.spyOn(store, 'writeChunk').mockImplementation(async (...args) => {
      await write(...args);
      etag = '"2"';
    });
    await expect(ensureModel(store, urlModel(url), quick)).rejects.toMatchObject({
      code: 'file-changed',
      message: expect.stringMatching(/was replaced on the server while it was fetched\. Load the model again/),
    });
    spy.mockRestore();
    const { record } = await ensureModel(store, urlModel(url), quick);
    expect(record.files.every(({ version }) => version === '"2"')).toBe(true);
    etag = '"1"';
  });

  it('without a model is refused, also where every address answers', async () => {
    for (const address of [url.replace('tiny', 'none'), url.replace('models/tiny', 'spa')]) {
      await expect(ensureModel(store, urlModel(address), quick)).rejects.toMatchObject({
        code: 'unsupported-repository',
        message: expect.stringMatching(/no config\.json under/),
      });
    }
  });

  it.each([
    ['ftp://x/y', /not a web address/],
    ['tiny', /is not an address/],
    ['https://me:secret@host/tiny', /holds a password/],
    ['https://host/tiny?key=1', /without \? and #/],
  ])('%s is no address of one', (typed, message) => expect(() => folderUrl(typed)).toThrow(message));
});

describe('a folder on disk', () => {
  const file = (name: string, content: BlobPart, path = '') => {
    const made = new File([content], name);
    if (path) Object.defineProperty(made, 'webkitRelativePath', { value: path });
    return made;
  };
  const refusing = (name: string) => () => Promise.reject(new DOMException('no', name));

  it('is read in place', async () => {
    const handle = {
      name: 'tiny',
      async *values() {
        yield { kind: 'directory', name: 'original' };
        yield { kind: 'file', getFile: async () => file('config.json', '{"a":1}') };
      },
    } as unknown as FileSystemDirectoryHandle;
    const files = localModel('tiny', await folderFiles(handle));
    expect(files.names).toEqual(['config.json']);
    const source = await files.open('config.json');
    expect(new TextDecoder().decode(await source.read(1, 4))).toBe('"a"');
    for (const [room, used] of [
      [8, true],
      [2, false],
    ] as const) {
      const into = new Uint8Array(room);
      const bytes = await source.read(1, 4, into);
      expect([new TextDecoder().decode(bytes), bytes.buffer === into.buffer]).toEqual(['"a"', used]);
    }
    await expect(source.read(0, 99)).rejects.toThrow(RangeError);
    await expect(files.open('tokenizer.json')).rejects.toMatchObject({ code: 'folder-gone' });
  });

  it('is its top level only, where files come in a list', () => {
    const files = [file('config.json', '', 'tiny/config.json'), file('config.json', '', 'tiny/original/config.json')];
    expect(topFiles(files)).toEqual([files[0]]);
  });

  it.each([
    ['NotAllowedError', 'folder-denied', /no longer lets the page read the folder tiny\. Choose the folder again/],
    ['NotFoundError', 'folder-gone', /is not there any more\. Put it back or connect its disk/],
    [
      'NotReadableError',
      'file-changed',
      /has changed since it was opened, or cannot be read\. Choose the folder again/,
    ],
  ])('that answers %s gives a named error', async (name, code, message) => {
    const revoked = { name: 'tiny', values: () => ({ [Symbol.asyncIterator]: () => ({ next: refusing(name) }) }) };
    await expect(folderFiles(revoked as unknown as FileSystemDirectoryHandle)).rejects.toMatchObject({ code });
    const stream = () => new ReadableStream({ pull: refusing(name) });
    const part = { size: 3, stream, arrayBuffer: refusing(name) };
    const broken = Object.assign(file('model.safetensors', 'abc'), { slice: () => part });
    const source = await localModel('tiny', [broken]).open('model.safetensors');
    for (const into of [undefined, new Uint8Array(3)]) {
      await expect(source.read(0, 3, into)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    }
  });
});
