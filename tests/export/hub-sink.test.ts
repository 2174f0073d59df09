/** Uploads through the real @huggingface/hub to the local Hub. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HubSink, type HubSinkOptions, type HubUpload } from '../../src/export/hub-sink';
import { exportTo, type OutputSink, writeFile } from '../../src/export/sink';
import type { Spool } from '../../src/export/spool';
import { type LocalHub, serveHub } from '../support/hub/server';
import { acceptUploads, type UploadSide } from '../support/hub/upload';
import { pseudoRandomBytes } from '../support/model-server';

let hub: LocalHub;
let side: UploadSide;
beforeEach(async () => {
  hub = await serveHub();
  side = acceptUploads(hub);
  side.writers.set('hf_writer', 'me');
});
afterEach(() => hub.close());

/** Files aside in memory, counted. */
function countingSpool() {
  const state = { open: 0, most: 0, made: 0 };
  const spool: Spool = async () => {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    state.made++;
    state.open++;
    state.most = Math.max(state.most, state.open);
    let here = true;
    return {
      write: async (bytes) => {
        parts.push(bytes.slice());
      },
      finish: async () => new Blob(parts),
      discard: async () => {
        if (here) state.open--;
        here = false;
      },
    };
  };
  return { state, spool };
}

const SHARD = 11_000_000;
const shard = (seed: number) => pseudoRandomBytes(SHARD, seed);
const NAMES = [1, 2].map((n) => `model-0000${n}-of-00002.safetensors`);

/** Two shards in pieces, and what is small. */
async function write(sink: OutputSink): Promise<void> {
  for (const [i, name] of NAMES.entries()) {
    const file = await sink.open(name, SHARD);
    const bytes = shard(i + 1);
    for (let at = 0; at < SHARD; at += 4e6) await file.write(bytes.subarray(at, Math.min(SHARD, at + 4e6)));
    await file.close();
  }
  await writeFile(sink, 'model.safetensors.index.json', '{}');
  await writeFile(sink, 'config.json', '{"a": 1}');
}

const { spool: plainSpool } = countingSpool();
const options = (more: Partial<HubSinkOptions> = {}): HubSinkOptions => ({
  repo: 'me/tuned',
  token: 'hf_writer',
  private: true,
  hubUrl: hub.url,
  spool: plainSpool,
  title: 'Upload a model',
  backoffMs: 5,
  ...more,
});
const upload = async (more: Partial<HubSinkOptions> = {}) => exportTo(await HubSink.open(options(more)), write);

const filesOf = (id = 'me/tuned') => {
  const repo = hub.repos.get(id)!;
  return repo.commits.get(repo.refs.get('main')!)!;
};

async function expectWhole(): Promise<void> {
  const files = filesOf();
  expect([...files.keys()].toSorted()).toEqual(
    ['.gitattributes', 'config.json', ...NAMES, 'model.safetensors.index.json'].toSorted(),
  );
  for (const [i, name] of NAMES.entries()) {
    const file = files.get(name)!;
    expect(Buffer.compare(await file.read(0, file.size), shard(i + 1)), name).toBe(0);
  }
}

describe('HubSink', () => {
  it('makes a private repository and one commit of all files, with one large file aside at a time', async () => {
    const { spool, state } = countingSpool();
    const seen: HubUpload[] = [];
    await upload({ spool, onUpload: (progress) => seen.push(progress) });
    await expectWhole();
    expect(side.commits).toEqual(['Upload a model']);
    expect(hub.repos.get('me/tuned')!.options.private).toBe(true);
    expect(state).toEqual({ open: 0, most: 1, made: 2 });
    const ends = seen.filter(({ phase, bytes }) => phase === 'uploading' && bytes === SHARD).map(({ file }) => file);
    expect(ends).toEqual(NAMES);
    const told = hub.log.filter(({ authorization }) => authorization !== undefined);
    expect(told.some(({ path }) => path.startsWith('/storage'))).toBe(false);
    expect(new Set(told.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer hf_writer']));
  });

  it('uploads in parts where the Hub asks for them', async () => {
    side.partBytes = 4_000_000;
    await upload();
    await expectWhole();
    expect(hub.log.filter(({ path }) => /^\/storage\/\w+\/\d$/u.test(path))).toHaveLength(6);
  });

  it('replaces the weights of an earlier export, and leaves other files', async () => {
    await upload();
    const again = await HubSink.open(options({ private: false }));
    await exportTo(again, async (sink) => {
      await writeFile(sink, 'model.safetensors', 'one file now');
      await writeFile(sink, 'README.md', 'new');
    });
    expect([...filesOf().keys()].toSorted()).toEqual([
      '.gitattributes',
      'README.md',
      'config.json',
      'model.safetensors',
    ]);
    expect(hub.repos.get('me/tuned')!.options.private).toBe(true);
  });

  it.each([
    ['401', { token: 'hf_wrong' }, 'upload-unauthorised'],
    ['no token at all', { token: 'not one' }, 'upload-unauthorised'],
    ['403', { repo: 'others/tuned' }, 'upload-forbidden'],
    ['a name that is none', { repo: 'tuned' }, 'upload-refused'],
  ])('says what to do about %s', async (_, more, code) => {
    await expect(HubSink.open(options(more))).rejects.toMatchObject({ name: 'ExportError', code });
    expect(hub.repos.size).toBe(0);
  });

  it('says so when the right is taken away on the way', async () => {
    const sink = await HubSink.open(options());
    side.writers.set('hf_writer', 'somebody else');
    await expect(exportTo(sink, write)).rejects.toMatchObject({ code: 'upload-forbidden' });
    expect([...filesOf().keys()]).toEqual(['.gitattributes']);
  });

  it('gets through 5xx answers and broken connections', async () => {
    side.cutOff = 2;
    hub.faults
      .add({ path: '/preupload/main', times: 2 }, { status: 503 })
      .add({ path: '/objects/batch' }, { status: 502 })
      .add({ path: '/commit/main' }, { status: 429, retryAfter: 0 });
    await upload();
    await expectWhole();
    expect([side.cutOff, hub.faults.left, side.commits.length]).toEqual([0, 0, 1]);
  });

  it('leaves the repository as it was when it does not get through, and sends nothing twice then', async () => {
    const { spool, state } = countingSpool();
    hub.faults.add({ path: '/commit/main', times: 99 }, { status: 500 });
    await expect(upload({ spool })).rejects.toMatchObject({ code: 'upload-failed' });
    expect([...filesOf().keys()]).toEqual(['.gitattributes']);
    expect(state.open).toBe(0);
    const { received } = side;
    expect(received).toBe(2 * SHARD);
    hub.faults.clear();
    await upload();
    await expectWhole();
    expect(side.received).toBe(received);
  });

  it('ends when it is cancelled, with nothing left aside', async () => {
    const { spool, state } = countingSpool();
    const abort = new AbortController();
    const reason = new Error('cancelled');
    const onUpload = ({ phase }: HubUpload) => phase === 'uploading' && abort.abort(reason);
    await expect(upload({ spool, signal: abort.signal, onUpload })).rejects.toBe(reason);
    expect([state.open, side.commits.length, filesOf().size]).toEqual([0, 0, 1]);
  });
});
