import { describe, expect, it } from 'vitest';
import { duplicateKey, editObject, members } from '../../src/formats/json-text';
import { fixture } from '../support/files';

describe('duplicateKey', () => {
  it.each([
    ['{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]}', null],
    ['{"a":1,"b":{"x":2,"x":3}}', 'x'],
    ['{"a" : 1,\n "\\u0061"\n:2}', 'a'],
    ['{"a":"a","b":["a","a"]}', null],
    ['{"a\\"":"{","a":"}"}', null],
  ])('%s', (text, expected) => {
    expect(duplicateKey(text)).toBe(expected);
  });
});

describe('editObject', () => {
  const text =
    '{"eps": 1e-05, "theta":500000.0,\n"rope": {"factor": 8.0, "a": [1,\n2]}, "s": "x: {\\"", "last": null }';

  it('finds the members and their spelling', () => {
    expect([...members(text)]).toEqual([
      ['eps', '1e-05'],
      ['theta', '500000.0'],
      ['rope', '{"factor": 8.0, "a": [1,\n2]}'],
      ['s', '"x: {\\""'],
      ['last', 'null'],
    ]);
    expect([...members('{}')]).toEqual([]);
    expect(() => members('[1]')).toThrow(SyntaxError);
    expect(() => members('{')).toThrow(SyntaxError);
  });

  it('changes only what it is told to', () => {
    const edited = editObject(text, { s: 'y', rope: undefined, more: [1], none: undefined });
    expect(edited).toBe('{\n  "eps": 1e-05,\n  "theta": 500000.0,\n  "s": "y",\n  "last": null,\n  "more": [1]\n}\n');
  });

  it('keeps a real config as it is', async () => {
    const config = new TextDecoder().decode(await fixture('public/models/pocket-15m-bnb-4bit/config.json'));
    expect(JSON.parse(editObject(config, {}))).toEqual(JSON.parse(config));
    expect(editObject(config, {})).toContain('"rms_norm_eps": 1e-05');
    expect(editObject(config, {})).toContain('"rope_theta": 500000.0');
  });
});
