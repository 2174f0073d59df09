import { describe, expect, it } from 'vitest';
import { DirectorySink } from '../../src/export/directory-sink';
import { exportTo, type OutputSink, writeFile } from '../../src/export/sink';
import { ZipSink } from '../../src/export/zip-sink';
import { FakeDirectory } from '../support/directory';
import { pseudoRandomBytes } from '../support/model-server';
import { unzip } from '../support/unzip';

const text = new TextEncoder();

/** Two small files and one large, in pieces. */
async function write(sink: OutputSink) {
  await writeFile(sink, 'config.json', '{}');
  const file = await sink.open('model.safetensors', 3_000_000);
  for (let i = 0; i < 3; i++) await file.write(pseudoRandomBytes(1_000_000, i + 1));
  await file.close();
  await writeFile(sink, 'README.md', 'Übung');
}
const large = Buffer.concat([1, 2, 3].map((seed) => pseudoRandomBytes(1_000_000, seed)));

describe('ZipSink', () => {
  it('streams a sound zip', async () => {
    const sink = new ZipSink('tiny-orpo');
    const done = exportTo(sink, write);
    const zip = new Uint8Array(await new Response(sink.stream).arrayBuffer());
    await done;
    const files = unzip(zip);
    expect([...files.keys()]).toEqual(
      ['config.json', 'model.safetensors', 'README.md'].map((name) => `tiny-orpo/${name}`),
    );
    expect(Buffer.compare(files.get('tiny-orpo/model.safetensors')!, large)).toBe(0);
    expect(new TextDecoder().decode(files.get('tiny-orpo/README.md'))).toBe('Übung');
  });

  it('writes no faster than it is read', async () => {
    const sink = new ZipSink('x');
    let written = 0;
    const done = exportTo(sink, async (out) => {
      const file = await out.open('big');
      for (; written < 20; written++) await file.write(new Uint8Array(1000));
      await file.close();
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(written).toBeLessThan(6);
    await new Response(sink.stream).arrayBuffer();
    await done;
    expect(written).toBe(20);
  });

  it('fails as a stream when the export fails', async () => {
    const sink = new ZipSink('x');
    const read = new Response(sink.stream).arrayBuffer();
    const done = exportTo(sink, async (out) => {
      const file = await out.open('a');
      await file.write(text.encode('abc'));
      throw new Error('device lost');
    });
    await expect(done).rejects.toThrow('device lost');
    await expect(read).rejects.toThrow('device lost');
  });

  it.each([1, 3])('ends the export when the reader cancels after %i pieces', async (pieces) => {
    const sink = new ZipSink('x');
    const done = exportTo(sink, async (out) => {
      const file = await out.open('a');
      for (;;) await file.write(new Uint8Array(100_000));
    });
    done.catch(() => undefined);
    const reader = sink.stream.getReader();
    for (let i = 0; i < pieces; i++) await reader.read();
    await reader.cancel(new Error('closed'));
    await expect(done).rejects.toThrow('closed');
  });
});

describe('DirectorySink', () => {
  it('writes files into a folder', async () => {
    const folder = new FakeDirectory();
    await exportTo(new DirectorySink(folder.handle), write);
    expect([...folder.files.keys()]).toEqual(['config.json', 'model.safetensors', 'README.md']);
    expect(Buffer.compare(folder.files.get('model.safetensors')!, large)).toBe(0);
  });

  it('takes new files back when it fails, and leaves old ones as they were', async () => {
    const folder = new FakeDirectory();
    folder.files.set('model.safetensors', text.encode('old'));
    folder.files.set('notes.txt', text.encode('mine'));
    folder.failing = 'model.safetensors';
    await expect(exportTo(new DirectorySink(folder.handle), write)).rejects.toMatchObject({
      name: 'ExportError',
      code: 'export-no-room',
      message: expect.stringContaining('Free space there'),
    });
    expect([...folder.files.keys()]).toEqual(['model.safetensors', 'notes.txt']);
    expect(Buffer.from(folder.files.get('model.safetensors')!).toString()).toBe('old');
  });

  it('says what to do when the folder may no longer be written, or is gone', async () => {
    const folder = new FakeDirectory();
    folder.revokedAt = 'model.safetensors';
    await expect(exportTo(new DirectorySink(folder.handle), write)).rejects.toMatchObject({
      code: 'export-folder-revoked',
      message: expect.stringContaining('Choose the folder again'),
    });
    expect([...folder.files.keys()]).toEqual([]);
    const gone = { getFileHandle: () => Promise.reject(new DOMException('gone', 'NotFoundError')) };
    await expect(
      DirectorySink.inNewFolder({ ...gone, getDirectoryHandle: gone.getFileHandle } as never, 'x'),
    ).rejects.toMatchObject({
      code: 'export-folder-failed',
    });
  });

  it('can begin a folder of its own, and removes it when it fails', async () => {
    const parent = new FakeDirectory();
    const first = await DirectorySink.inNewFolder(parent.handle, 'merged');
    await exportTo(first.sink, write);
    const second = await DirectorySink.inNewFolder(parent.handle, 'merged');
    expect([first.folder, second.folder]).toEqual(['merged', 'merged-2']);
    const failure = exportTo(second.sink, async (out) => {
      await write(out);
      throw new Error('stopped');
    });
    await expect(failure).rejects.toThrow('stopped');
    expect([...parent.folders.keys()]).toEqual(['merged']);
    expect(parent.folders.get('merged')!.files.size).toBe(3);
  });
});
