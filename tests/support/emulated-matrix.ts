/**
 * Subgroup matrices in plain WGSL, so that kernels for matrix units run where no driver has such units: `EmulatedCommands` takes the
 * place of `Commands`, and any op that is given a profile with matrix units then computes on them.
 *
 * A thread of a subgroup of SUBGROUP threads holds whole right operands, and every SUBGROUP-th row of left operands and of results; its
 * lane is local_invocation_index modulo SUBGROUP. Values are f32: those of f16 operands are as they were rounded when they were
 * stored. What one thread stores the others see after the barriers that the kernel has anyway, and not before.
 *
 * A kernel's SUBGROUP must divide the size of its blocks (8 or 16), and be the device's own size where the kernel uses other
 * subgroup operations. Blocks lie in arrays of f16, f32, u32, vec2u, vec4u or vec4f, in either spelling. The kernel names their types by
 * aliases, has blocks of one size, and one call a line.
 */
import { Commands } from '../../src/gpu/commands';
import type { KernelSpec } from '../../src/gpu/kernels';
import { preprocess } from '../../src/gpu/wgsl';

type Component = 'f16' | 'f32';

interface BlockType {
  kind: 'left' | 'right' | 'result';
  component: Component;
}

/** A queue that runs kernels for matrix units without any. */
export class EmulatedCommands extends Commands {
  override dispatch(...[spec, ...rest]: Parameters<Commands['dispatch']>): void {
    super.dispatch(spec.source.includes('subgroupMatrix') ? emulatedSpec(spec) : spec, ...rest);
  }
}

export function emulatedSpec({ name, source, flags = [], constants = {} }: KernelSpec): KernelSpec {
  const code = preprocess(source, new Set(flags), constants);
  return { name: `${name} ${flags.join(' ')} ${JSON.stringify(constants)}`, source: emulated(code) };
}

/** Preprocessed code of a kernel, without matrix units. @throws Error for what is not known here */
export function emulated(code: string): string {
  return new Emulation(code).code;
}

const DROPPED = /^(enable (f16|chromium_)|diagnostic\(off, chromium)/;
const CALL = /^(\s*)(?:(?:let |var )?(\w+)(?:: \w+)? = )?subgroupMatrix(\w+?)(?:<([^>]*)>)?\((.*)\);\s*$/;

// Loops whose ends a driver cannot tell are not unrolled, which would take it minutes.
const PRIVATE = `
var<private> emulated_lane: u32;
var<private> emulated_zero: u32;`;

class Emulation {
  readonly code: string;
  readonly #types = new Map<string, BlockType>();
  readonly #elements: Map<string, string>;
  readonly #functions = new Map<string, string>();
  readonly #size: number;
  readonly #rows: number;

  constructor(code: string) {
    const sizes = new Set<number>();
    const block = /alias (\w+) = subgroup_matrix_(left|right|result)<(f16|f32), (\d+), (\d+)>;/g;
    for (const [, name, kind, component, columns, rows] of code.matchAll(block)) {
      this.#types.set(name, { kind, component } as BlockType);
      sizes.add(Number(columns)).add(Number(rows));
    }
    const [size] = sizes;
    const subgroup = Number(/const SUBGROUP = (\d+)u;/.exec(code)?.[1]);
    if (sizes.size !== 1 || !(size % subgroup === 0)) {
      throw new Error(`blocks of ${[...sizes]}, subgroups of ${subgroup}: not known here`);
    }
    this.#size = size;
    this.#rows = size / subgroup;
    this.#elements = elementTypes(code);

    const values = (kind: BlockType['kind']) => size * (kind === 'right' ? size : this.#rows);
    const lines = code
      .split('\n')
      .filter((line) => !DROPPED.test(line))
      .map((line) => this.#line(line));
    const body = lines
      .join('\n')
      .replace(block, (_, name, kind) => `alias ${name} = array<f32, ${values(kind)}>;`)
      .replace(/fn main\([\s\S]*?\)\s*\{/, (head) => {
        const index = /@builtin\(local_invocation_index\) (\w+)/.exec(head)?.[1];
        if (!index) throw new Error('main() needs local_invocation_index');
        return `${head}\n  emulated_lane = ${index} % SUBGROUP;\n  emulated_zero = ${index} >> 16u;`;
      })
      .replaceAll('bitcast<vec2<f16>>', 'unpack2x16float')
      .replace(/\bf16\b/g, 'f32');
    const left = /subgroupMatrix\w*|subgroup_matrix\w*/.exec(body.replace(/\/\/.*/g, ''));
    if (left) throw new Error(`${left[0]} in a form that is not known here`);
    this.code = [body, PRIVATE, ...this.#functions.values()].join('\n');
  }

  /** A line with its call in other words. */
  #line(line: string): string {
    const call = CALL.exec(line);
    if (!call) return line;
    const [, indent, result, verb, template = '', text] = call;
    const args = splitArguments(text);
    const templates = template.split(',').map((word) => word.trim());
    const declared = /^\s*(let|var) /.test(line);
    /** The result begins as a block, of which a function makes the rest. */
    const from = (block: string, work: string) =>
      `${indent}${block === result ? '' : `${declared ? 'var ' : ''}${result} = ${block}; `}${work}`;
    if (verb === 'Load') {
      const [pointer, at] = args;
      const major = args.length === 4 ? (args[2] === 'true' ? 'col' : 'row') : templates[1].replace('_major', '');
      const name = this.#loader(templates[0], major === 'col', pointer.replace('&', ''));
      const declaration = declared ? `var ${result}: ${templates[0]}; ` : '';
      return `${indent}${declaration}${name}(&${result}, ${at}, ${args.at(-1)});`;
    }
    if (verb === 'Store') {
      const [pointer, at, value] = args;
      if (args[3] === 'true' || templates[0] === 'col_major') throw new Error('stores by columns are not known here');
      return `${indent}${this.#storer(pointer.replace('&', ''))}(&${value}, ${at}, ${args.at(-1)});`;
    }
    if (verb === 'MultiplyAccumulate') {
      return from(args[2], `${this.#multiplier()}(&${args[0]}, &${args[1]}, &${result});`);
    }
    if (verb === 'ScalarMultiply') return from(args[0], `${this.#scaler()}(&${result}, ${args[1]});`);
    throw new Error(`subgroupMatrix${verb} is not known here`);
  }

  #keep(name: string, parameters: string, body: string): string {
    this.#functions.set(name, `fn ${name}(${parameters}) {\n${body}\n}`);
    return name;
  }

  #loader(alias: string, byColumns: boolean, memory: string): string {
    const type = this.#types.get(alias);
    if (!type) throw new Error(`${alias} is no alias of a block's type`);
    const row = type.kind === 'right' ? 'i' : 'i * SUBGROUP + emulated_lane';
    const [outer, inner] = byColumns ? ['j', 'row'] : ['row', 'j'];
    const value = readValue(memory, this.#element(memory), type.component, `at + ${outer} * stride`, inner);
    return this.#keep(
      `load_${alias}_${byColumns ? 'columns' : 'rows'}_${memory}`,
      `block: ptr<function, ${alias}>, at: u32, stride: u32`,
      `  for (var i = 0u; i < emulated_zero + ${type.kind === 'right' ? this.#size : this.#rows}u; i++) {
    let row = ${row};
    for (var j = 0u; j < emulated_zero + ${this.#size}u; j++) { (*block)[i * ${this.#size}u + j] = ${value}; }
  }`,
    );
  }

  #storer(memory: string): string {
    const element = this.#element(memory);
    const width = element === 'f32' ? 1 : 4;
    const values = Array.from({ length: width }, (_, c) => `(*block)[i * ${this.#size}u + j * ${width}u + ${c}u]`);
    const made: Record<string, string> = {
      f32: values[0],
      vec4f: `vec4f(${values})`,
      vec4u: `bitcast<vec4u>(vec4f(${values}))`,
    };
    if (!made[element]) throw new Error(`results in an array of ${element}`);
    return this.#keep(
      `store_${memory}`,
      `block: ptr<function, ${this.#alias('result')}>, at: u32, stride: u32`,
      `  for (var i = 0u; i < emulated_zero + ${this.#rows}u; i++) {
    for (var j = 0u; j < emulated_zero + ${this.#size / width}u; j++) {
      ${memory}[at + (i * SUBGROUP + emulated_lane) * stride + j] = ${made[element]};
    }
  }`,
    );
  }

  #multiplier(): string {
    const n = this.#size;
    const [left, right, result] = (['left', 'right', 'result'] as const).map((kind) => this.#alias(kind));
    return this.#keep(
      'multiply_blocks',
      `a: ptr<function, ${left}>, b: ptr<function, ${right}>, c: ptr<function, ${result}>`,
      `  for (var i = 0u; i < emulated_zero + ${this.#rows}u; i++) {
    for (var k = 0u; k < emulated_zero + ${n}u; k++) {
      let value = (*a)[i * ${n}u + k];
      for (var j = 0u; j < emulated_zero + ${n}u; j++) { (*c)[i * ${n}u + j] += value * (*b)[k * ${n}u + j]; }
    }
  }`,
    );
  }

  #scaler(): string {
    return this.#keep(
      'scale_block',
      `c: ptr<function, ${this.#alias('result')}>, factor: f32`,
      `  for (var i = 0u; i < emulated_zero + ${this.#rows * this.#size}u; i++) { (*c)[i] *= factor; }`,
    );
  }

  #alias(wanted: BlockType['kind']): string {
    for (const [name, { kind }] of this.#types) if (kind === wanted) return name;
    throw new Error(`no alias of a ${wanted} block`);
  }

  #element(memory: string): string {
    const element = this.#elements.get(memory);
    if (!element) throw new Error(`${memory} is no array of this module`);
    return element;
  }
}

/** Arrays of the module, and the types of their elements. */
function elementTypes(code: string): Map<string, string> {
  const aliases = new Map([...code.matchAll(/alias (\w+) = (\w+);/g)].map(([, name, type]) => [name, type]));
  const arrays = code.matchAll(/var<[^>]*>\s+(\w+)\s*:\s*array<\s*(\w+)/g);
  return new Map([...arrays].map(([, name, type]) => [name, aliases.get(type) ?? type]));
}

/** Value `inner` (values, not elements) after element `from` of an array. */
function readValue(memory: string, element: string, component: Component, from: string, inner: string): string {
  if (element === component) return `${memory}[${from} + ${inner}]`;
  const words: Record<string, number> = { u32: 1, vec2u: 2, vec4u: 4, vec4f: 4 };
  const count = words[element];
  if (!count || (component === 'f16' && element === 'vec4f')) throw new Error(`${component} in an array of ${element}`);
  if (component === 'f32') {
    const value = `${memory}[${from} + ${inner} / ${count}u]${count > 1 ? `[${inner} % ${count}u]` : ''}`;
    return element === 'vec4f' ? value : `bitcast<f32>(${value})`;
  }
  const word = `${memory}[${from} + ${inner} / ${2 * count}u]${count > 1 ? `[${inner} / 2u % ${count}u]` : ''}`;
  return `unpack2x16float(${word} >> (16u * (${inner} % 2u))).x`;
}

/** At the commas outside any parentheses and brackets. */
function splitArguments(text: string): string[] {
  const args = [''];
  let depth = 0;
  for (const letter of text) {
    if ('(['.includes(letter)) depth++;
    if (')]'.includes(letter)) depth--;
    if (letter === ',' && depth === 0) args.push('');
    else args[args.length - 1] += letter;
  }
  return args.map((arg) => arg.trim());
}
