/**
 * A very small preprocessor for .wgsl files, written as comments so that the files stay ordinary WGSL for editors:
 *
 *   //#include NAME          the text of shaders/lib/NAME.wgsl
 *   //#if FLAG ... //#else ... //#endif    (nestable)
 *   //#repeat i COUNT ... //#end           the lines COUNT times, with $i as 0, 1, ... (nestable; COUNT a number or a constant)
 *
 * plus constants, which become `const NAME = VALUE;` lines at the top, after lines that WGSL wants first (`enable ...;` and
 * `diagnostic(...);`), wherever they were.
 */
import attentionBegin from '../../shaders/lib/attention_begin.wgsl?raw';
import attentionFetch from '../../shaders/lib/attention_fetch.wgsl?raw';
import attentionFetchWalked from '../../shaders/lib/attention_fetch_walked.wgsl?raw';
import attentionGradient from '../../shaders/lib/attention_gradient.wgsl?raw';
import attentionInput from '../../shaders/lib/attention_input.wgsl?raw';
import attentionKeys from '../../shaders/lib/attention_keys.wgsl?raw';
import attentionMatrix from '../../shaders/lib/attention_matrix.wgsl?raw';
import attentionMatrixGradient from '../../shaders/lib/attention_matrix_gradient.wgsl?raw';
import attentionMatrixQueries from '../../shaders/lib/attention_matrix_queries.wgsl?raw';
import attentionMatrixStep from '../../shaders/lib/attention_matrix_step.wgsl?raw';
import attentionQuery from '../../shaders/lib/attention_query.wgsl?raw';
import attentionScores from '../../shaders/lib/attention_scores.wgsl?raw';
import attentionThread from '../../shaders/lib/attention_thread.wgsl?raw';
import attentionTile from '../../shaders/lib/attention_tile.wgsl?raw';
import attentionWide from '../../shaders/lib/attention_wide.wgsl?raw';
import halfFetch from '../../shaders/lib/half_fetch.wgsl?raw';
import halfLora from '../../shaders/lib/half_lora.wgsl?raw';
import halfMultiply from '../../shaders/lib/half_multiply.wgsl?raw';
import halfStore from '../../shaders/lib/half_store.wgsl?raw';
import log1p from '../../shaders/lib/log1p.wgsl?raw';
import matrixMultiply from '../../shaders/lib/matrix_multiply.wgsl?raw';
import matrixStore from '../../shaders/lib/matrix_store.wgsl?raw';
import product from '../../shaders/lib/product.wgsl?raw';
import productFetch from '../../shaders/lib/product_fetch.wgsl?raw';
import productLora from '../../shaders/lib/product_lora.wgsl?raw';
import productMultiply from '../../shaders/lib/product_multiply.wgsl?raw';
import productStore from '../../shaders/lib/product_store.wgsl?raw';
import productTile from '../../shaders/lib/product_tile.wgsl?raw';
import rawWeight from '../../shaders/lib/raw_weight.wgsl?raw';
import reduce from '../../shaders/lib/reduce.wgsl?raw';
import weight from '../../shaders/lib/weight.wgsl?raw';

const INCLUDES: Record<string, string> = {
  attention_begin: attentionBegin,
  attention_fetch: attentionFetch,
  attention_fetch_walked: attentionFetchWalked,
  attention_gradient: attentionGradient,
  attention_keys: attentionKeys,
  attention_matrix: attentionMatrix,
  attention_matrix_gradient: attentionMatrixGradient,
  attention_input: attentionInput,
  attention_matrix_queries: attentionMatrixQueries,
  attention_matrix_step: attentionMatrixStep,
  attention_query: attentionQuery,
  attention_scores: attentionScores,
  attention_thread: attentionThread,
  attention_tile: attentionTile,
  attention_wide: attentionWide,
  half_fetch: halfFetch,
  half_lora: halfLora,
  half_multiply: halfMultiply,
  half_store: halfStore,
  product,
  product_fetch: productFetch,
  product_lora: productLora,
  product_multiply: productMultiply,
  matrix_multiply: matrixMultiply,
  matrix_store: matrixStore,
  product_store: productStore,
  product_tile: productTile,
  log1p,
  raw_weight: rawWeight,
  reduce,
  weight,
};

export type Constants = Record<string, number>;

/** Expands includes and conditions. Throws on an unknown include or an unbalanced condition. */
export function preprocess(source: string, flags: ReadonlySet<string>, constants: Constants): string {
  const lines: string[] = [];
  expand(source, flags, lines);
  const isFirst = (line: string) => /^(enable |diagnostic\()/.test(line);
  const values = Object.entries(constants).map(([name, value]) => `const ${name} = ${value}u;`);
  const body = repeat(
    lines.filter((line) => !isFirst(line)),
    constants,
  );
  return [...lines.filter(isFirst), ...values, ...body].join('\n');
}

/** Unrolls //#repeat. */
function repeat(lines: readonly string[], constants: Constants): string[] {
  const out: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const head = REPEAT.exec(lines[at]);
    if (!head) {
      out.push(lines[at]);
      continue;
    }
    const [, name, word] = head;
    const count = /^\d+$/.test(word) ? Number(word) : constants[word];
    if (count === undefined) throw new Error(`//#repeat ${name} ${word}: no such constant`);
    const end = endOfRepeat(lines, at);
    for (let i = 0; i < count; i++) {
      const body = lines.slice(at + 1, end).map((line) => line.replaceAll(`$${name}`, `${i}`));
      out.push(...repeat(body, constants));
    }
    at = end;
  }
  return out;
}

function endOfRepeat(lines: readonly string[], at: number): number {
  let depth = 0;
  for (let i = at; i < lines.length; i++) {
    if (REPEAT.test(lines[i])) depth++;
    else if (/^\s*\/\/#end\s*$/.test(lines[i]) && --depth === 0) return i;
  }
  throw new Error('//#repeat without //#end');
}

const REPEAT = /^\s*\/\/#repeat (\w+) (\w+)\s*$/;

function expand(source: string, flags: ReadonlySet<string>, out: string[]): void {
  const active: boolean[] = [true];
  for (const line of source.split('\n')) {
    const directive = /^\s*\/\/#(\w+)\s*(\w*)/.exec(line);
    if (!directive) {
      if (active.at(-1)) out.push(line);
      continue;
    }
    const [, verb, word] = directive;
    if (verb === 'if') active.push(active.at(-1)! && flags.has(word));
    else if (verb === 'else') active.push(!active.pop() && active.at(-1)!);
    else if (verb === 'endif') active.pop();
    else if (verb === 'include') {
      if (!active.at(-1)) continue;
      const text = INCLUDES[word];
      if (text === undefined) throw new Error(`unknown include ${word}`);
      expand(text, flags, out);
    } else if (verb === 'repeat' || verb === 'end') {
      if (active.at(-1)) out.push(line);
    } else throw new Error(`unknown directive //#${verb}`);
  }
  if (active.length !== 1) throw new Error('unbalanced //#if');
}

export interface Binding {
  index: number;
  name: string;
  kind: 'uniform' | 'read' | 'read_write';
}

/** The bindings that a (preprocessed) module declares in group 0, by index. */
export function parseBindings(code: string): Binding[] {
  const bindings: Binding[] = [];
  const pattern = /@group\(0\)\s*@binding\((\d+)\)\s*var<(\w+)(?:,\s*(\w+))?>\s+(\w+)/g;
  for (const [, index, space, access, name] of code.matchAll(pattern)) {
    const kind = space === 'uniform' ? 'uniform' : access === 'read_write' ? 'read_write' : 'read';
    bindings.push({ index: Number(index), name, kind });
  }
  return bindings;
}

export interface ParamField {
  name: string;
  type: 'u32' | 'f32' | 'i32';
}

/** The fields of `struct Params`, all of four bytes, in order. */
export function parseParams(code: string): ParamField[] {
  const body = /struct Params\s*\{([^}]*)\}/.exec(code)?.[1];
  if (body === undefined) return [];
  const fields: ParamField[] = [];
  for (const [, name, type] of body.matchAll(/(\w+)\s*:\s*(u32|f32|i32)\s*,/g)) {
    fields.push({ name, type: type as ParamField['type'] });
  }
  return fields;
}
