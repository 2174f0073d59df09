import { describe, expect, test } from 'vitest';
import { parseBindings, parseParams, preprocess } from '../../src/gpu/wgsl';

const expand = (source: string, ...flags: string[]) => preprocess(source, new Set(flags), {});

describe('preprocess', () => {
  test('conditions nest; else takes the other side', () => {
    const source = [
      'a',
      '//#if X',
      'b',
      '  //#if Y',
      'c',
      '  //#else',
      'd',
      '  //#endif',
      '//#else',
      'e',
      '//#endif',
      'f',
    ];
    expect(expand(source.join('\n')).split('\n')).toEqual(['a', 'e', 'f']);
    expect(expand(source.join('\n'), 'X').split('\n')).toEqual(['a', 'b', 'd', 'f']);
    expect(expand(source.join('\n'), 'X', 'Y').split('\n')).toEqual(['a', 'b', 'c', 'f']);
    expect(expand(source.join('\n'), 'Y').split('\n')).toEqual(['a', 'e', 'f']);
  });

  test('constants come first, as unsigned integers', () => {
    expect(preprocess('x', new Set(), { TILE: 16, DK: 4 })).toBe('const TILE = 16u;\nconst DK = 4u;\nx');
  });

  test('includes are expanded with the same flags, and only where they are active', () => {
    const weights = expand('//#include weight', 'W_BF16');
    expect(weights).toContain('fn load_weight4');
    expect(weights).not.toContain('unpack2x16float');
    expect(expand('//#if NO\n//#include nothing\n//#endif')).toBe('');
    expect(expand('//#include raw_weight', 'W_BF16')).toContain('fn load_weight4');
  });

  test('repeats nest, count by constants, and what WGSL wants first comes first', () => {
    const source = ['a', 'enable f16;', '//#repeat i N', '//#repeat j 2', 'c$i_$j', '//#end', '//#end'].join('\n');
    const lines = preprocess(source, new Set(), { N: 2 }).split('\n');
    expect(lines).toEqual(['enable f16;', 'const N = 2u;', 'a', 'c0_0', 'c0_1', 'c1_0', 'c1_1']);
    expect(() => expand('//#repeat i M\n//#end')).toThrow('no such constant');
    expect(() => expand('//#repeat i 2')).toThrow('without //#end');
  });

  test('mistakes are named', () => {
    expect(() => expand('//#include nothing')).toThrow('unknown include nothing');
    expect(() => expand('//#when X')).toThrow('unknown directive //#when');
    expect(() => expand('//#if X')).toThrow('unbalanced');
    expect(() => expand('//#endif')).toThrow('unbalanced');
  });

  test('other comments stay', () => {
    expect(expand('// # not a directive\n//plain')).toBe('// # not a directive\n//plain');
  });
});

test('bindings by index, name and kind', () => {
  const code = `
    @group(0) @binding(0) var<uniform> p: Params;
    @group(0) @binding(3) var<storage, read> x: array<vec4f>;
    @group(0) @binding(12)
    var<storage, read_write> y: array<f32>;
    var<workgroup> scratch: array<f32, 4>;`;
  expect(parseBindings(code)).toEqual([
    { index: 0, name: 'p', kind: 'uniform' },
    { index: 3, name: 'x', kind: 'read' },
    { index: 12, name: 'y', kind: 'read_write' },
  ]);
});

test('fields of struct Params in order', () => {
  expect(parseParams('struct Params {\n  M: u32, eps: f32,\n  shift: i32,\n}')).toEqual([
    { name: 'M', type: 'u32' },
    { name: 'eps', type: 'f32' },
    { name: 'shift', type: 'i32' },
  ]);
  expect(parseParams('struct Other { M: u32, }')).toEqual([]);
});
