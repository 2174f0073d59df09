/** The local Hub that other tests trust, asked through the Hub's own library. */
import { downloadFile, HubApiError, type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { filesOf } from '../support/hub/repo';
import { type LocalHub, serveHub } from '../support/hub/server';
import { pseudoRandomBytes } from '../support/model-server';

const weights = pseudoRandomBytes(300_000);
const files = filesOf({ 'config.json': '{"model_type":"llama"}', 'README.md': '# tiny', 'model.safetensors': weights });
let hub: LocalHub;

beforeAll(async () => {
  hub = await serveHub();
  hub.add('someone/tiny', files, { license: 'mit' });
  hub.add('someone/gated', files, { gated: 'manual' });
  hub.add('someone/hidden', files, { private: true });
  hub.tokens.set('hf_any', new Set()).set('hf_let_in', new Set(['someone/gated', 'someone/hidden']));
});
afterAll(() => hub.close());
beforeEach(() => {
  hub.faults.clear();
  hub.log.length = 0;
});

const weightsOf = (name: string, accessToken?: string) =>
  downloadFile({ repo: name, path: 'model.safetensors', hubUrl: hub.url, accessToken } as Parameters<
    typeof downloadFile
  >[0]);

it('lists files by pages, with the SHA-256 of large ones and the commit of a branch', async () => {
  hub.pageSize = 2;
  const entries: ListFileEntry[] = [];
  for await (const entry of listFiles({ repo: 'someone/tiny', hubUrl: hub.url })) entries.push(entry);
  hub.pageSize = 1000;
  expect(entries.map(({ path }) => path)).toEqual(['config.json', 'README.md', 'model.safetensors']);
  expect(hub.log).toHaveLength(2);
  expect(entries[2]).toMatchObject({ size: 300_000, lfs: { oid: files.get('model.safetensors')!.sha256 } });
  expect(entries[0].lfs).toBeUndefined();
  const info = await modelInfo({ name: 'someone/tiny', hubUrl: hub.url, additionalFields: ['sha', 'cardData'] });
  expect(info).toMatchObject({ gated: false, sha: hub.repos.get('someone/tiny')!.refs.get('main') });
  expect(info.cardData).toEqual({ license: 'mit' });
});

it('sends large files from another origin, which never sees the token', async () => {
  const blob = await weightsOf('someone/gated', 'hf_let_in');
  expect(Buffer.compare(new Uint8Array(await blob!.arrayBuffer()), weights)).toBe(0);
  const cdn = hub.log.filter(({ where }) => where === 'cdn');
  expect(cdn.length).toBeGreaterThan(0);
  expect(cdn.every(({ authorization }) => authorization === undefined)).toBe(true);
  expect(hub.log.some(({ authorization }) => authorization === 'Bearer hf_let_in')).toBe(true);
});

it.each([
  ['someone/gated', undefined, 401, 'GatedRepo'],
  ['someone/gated', 'hf_any', 403, 'GatedRepo'],
  ['someone/gated', 'hf_old', 401, null],
  ['someone/hidden', undefined, 401, 'RepoNotFound'],
  ['someone/hidden', 'hf_any', 404, 'RepoNotFound'],
  ['someone/tiny', undefined, 206, null],
])('answers for %s with token %s: %i %s', async (name, token, status, code) => {
  const response = await fetch(`${hub.url}/${name}/resolve/main/model.safetensors`, {
    headers: { Range: 'bytes=5-9', ...(token ? { Authorization: `Bearer ${token}` } : {}) },
  });
  expect([response.status, response.headers.get('X-Error-Code')]).toEqual([status, code]);
  if (status === 206) expect(new Uint8Array(await response.arrayBuffer())).toEqual(weights.slice(5, 10));
  else expect(response.headers.get('X-Error-Message')).toMatch(/\w/u);
});

it('observes If-Range, and spoils what it is told to spoil', async () => {
  const url = hub.link(hub.repos.get('someone/tiny')!, 'model.safetensors', files.get('model.safetensors')!);
  const ask = (headers: Record<string, string>) => fetch(url, { headers: { Range: 'bytes=0-9', ...headers } });
  const first = await ask({});
  expect((await ask({ 'If-Range': first.headers.get('etag')! })).status).toBe(206);
  expect((await ask({ 'If-Range': '"other"' })).status).toBe(200);
  hub.faults.add({ where: 'cdn' }, { status: 429, retryAfter: 3 }).add({ where: 'cdn' }, { flipAt: 4 });
  expect((await ask({})).headers.get('retry-after')).toBe('3');
  expect(new Uint8Array(await (await ask({})).arrayBuffer())[4]).toBe(weights[4] ^ 1);
  hub.faults.add({ where: 'cdn' }, { dropAfter: 70_000 });
  await expect(fetch(url).then((response) => response.arrayBuffer())).rejects.toThrow();
  hub.expireLinks();
  expect((await ask({})).status).toBe(403);
  await expect(modelInfo({ name: 'a/none', hubUrl: hub.url })).rejects.toBeInstanceOf(HubApiError);
});
