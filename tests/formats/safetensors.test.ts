import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/formats/bytes';
import { parseSafetensorsHeader, SafetensorsError, serializeSafetensorsHeader } from '../../src/formats/safetensors';
import { fixture } from '../support/files';

/** A file of this header text (or object) and so many data bytes. */
function file(header: string | object, dataBytes: number, claimed?: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(claimed ?? json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const parse = (bytes: Uint8Array) => parseSafetensorsHeader(memorySource(bytes), 'model.safetensors');

async function problem(bytes: Uint8Array): Promise<SafetensorsError> {
  const error = await parse(bytes).then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(SafetensorsError);
  expect((error as SafetensorsError).file).toBe('model.safetensors');
  return error as SafetensorsError;
}

const a = { dtype: 'F32', shape: [2], data_offsets: [0, 8] };

describe('reading', () => {
  it('reads names, dtypes, shapes and absolute offsets', async () => {
    const bytes = file(
      { __metadata__: { format: 'pt' }, a, b: { dtype: 'BF16', shape: [], data_offsets: [8, 10] } },
      10,
    );
    const { tensors, metadata } = await parse(bytes);
    expect(metadata).toEqual({ format: 'pt' });
    const start = bytes.length - 10;
    expect(tensors.get('a')).toEqual({ name: 'a', dtype: 'F32', shape: [2], begin: start, end: start + 8 });
    expect(tensors.get('b')).toEqual({ name: 'b', dtype: 'BF16', shape: [], begin: start + 8, end: start + 10 });
  });

  it('takes empty tensors and files without tensors', async () => {
    const { tensors } = await parse(file({ a, e: { dtype: 'I64', shape: [0, 3], data_offsets: [8, 8] } }, 8));
    expect(tensors.get('e')?.end).toBe(tensors.get('a')?.end);
    expect((await parse(file({}, 0))).tensors.size).toBe(0);
  });

  it.each([
    ['too short', new Uint8Array(5), undefined, /5 bytes/],
    ['header longer than the file', file({ a }, 8, 5000), undefined, /claims 5000 bytes/],
    ['absurd header length', file({ a }, 8, 2 ** 52), undefined, /claims/],
    ['not JSON', file('{"a":', 0), undefined, /not JSON/],
    ['not UTF-8', file('{"a": \ud800}', 0).map((b) => (b === 0xef ? 0xff : b)), undefined, /not JSON/],
    ['not an object', file('[]', 0), undefined, /not a JSON object/],
    ['metadata not strings', file({ __metadata__: { n: 1 } }, 0), undefined, /__metadata__\.n/],
    ['entry not an object', file({ a: 3 }, 0), 'a', /not an object/],
    ['unknown dtype', file({ a: { ...a, dtype: 'Q4' } }, 8), 'a', /unknown dtype "Q4"/],
    ['dtype named as a method', file({ a: { ...a, dtype: 'toString' } }, 8), 'a', /unknown dtype/],
    ['negative shape', file({ a: { ...a, shape: [-2] } }, 8), 'a', /shape \[-2\]/],
    ['fractional shape', file({ a: { ...a, shape: [1.5] } }, 8), 'a', /shape/],
    ['offsets turned round', file({ a: { ...a, data_offsets: [8, 0] } }, 8), 'a', /data_offsets/],
    ['offsets past the end', file({ a: { ...a, data_offsets: [8, 16] } }, 8), 'a', /cut off/],
    ['truncated data', file({ a }, 8).slice(0, -1), 'a', /cut off/],
    ['size not that of the shape', file({ a: { ...a, shape: [3] } }, 8), 'a', /needs 12 bytes but .* span 8/],
    ['overlap', file({ a, b: { ...a, data_offsets: [4, 12] } }, 12), 'b', /overlaps that of a/],
    ['hole', file({ a, b: { ...a, data_offsets: [12, 20] } }, 20), 'b', /hole of 4 bytes/],
    ['bytes of no tensor', file({ a }, 12), undefined, /4 bytes after/],
    ['same name twice', file(`{"a":${JSON.stringify(a)},"\\u0061":${JSON.stringify(a)}}`, 8), 'a', /twice/],
  ])('refuses: %s', async (_name, bytes, tensor, message) => {
    const error = await problem(bytes as Uint8Array);
    expect(error.tensor).toBe(tensor);
    expect(error.message).toMatch(message as RegExp);
  });
});

describe('writing', () => {
  it.each([
    'tests/goldens/stories-260k-lora/adapter_model.safetensors',
    'tests/goldens/stories-260k-lora/grads_step1.safetensors',
    'public/models/stories-260k/model.safetensors',
  ])('re-writes %s byte for byte', async (path) => {
    const original = await fixture(path);
    const { tensors, metadata } = await parse(original);
    const shuffled = [...tensors.values()].reverse();
    const layout = serializeSafetensorsHeader(shuffled, metadata);
    expect(layout.size).toBe(original.length);
    const copy = new Uint8Array(layout.size);
    copy.set(layout.header);
    for (const t of layout.tensors) {
      const from = tensors.get(t.name)!;
      copy.set(original.subarray(from.begin, from.end), t.begin);
    }
    expect(Buffer.compare(copy, original)).toBe(0);
  });

  it('orders by dtype, widest first, then by name, and pads the header to 8 bytes', async () => {
    const specs = (['U8', 'F32', 'BF16', 'F16', 'I64'] as const).flatMap((dtype) =>
      ['z', 'a'].map((n) => ({ name: `${n}.${dtype}`, dtype, shape: [3] })),
    );
    const layout = serializeSafetensorsHeader(specs, {});
    expect(layout.header.length % 8).toBe(0);
    expect(layout.tensors.map((t) => t.name)).toEqual([
      ...['a.I64', 'z.I64', 'a.F32', 'z.F32', 'a.BF16', 'z.BF16', 'a.F16', 'z.F16', 'a.U8', 'z.U8'],
    ]);
    const back = await parse(Uint8Array.from({ length: layout.size }, (_, i) => layout.header[i] ?? 0));
    expect([...back.tensors.values()]).toEqual(layout.tensors);
    expect(back.metadata).toEqual({});
  });

  it('refuses a name given twice', () => {
    const t = { name: 'a', dtype: 'F32', shape: [1] } as const;
    expect(() => serializeSafetensorsHeader([t, t])).toThrow(SafetensorsError);
  });
});
