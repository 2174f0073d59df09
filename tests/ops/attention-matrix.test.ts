/** Attention's kernels for matrix units, with units made of plain WGSL, against float64. */
import { describe, expect, test } from 'vitest';
import { packPairs, pairShape } from '../../src/data/packing';
import type { TokenizedPair } from '../../src/data/types';
import type { View } from '../../src/gpu/commands';
import type { AttentionArgs } from '../../src/ops/attention';
import { matrixAttention, matrixAttentionDelta } from '../../src/ops/attention_matrix';
import type { MatrixAttentionShape } from '../../src/ops/attention_matrix_shape';
import type { AttentionKind } from '../../src/ops/attention_shape';
import * as reference from '../reference/attention';
import { packPairs as referencePack } from '../reference/batch';
import { randomPair } from '../reference/random-model';
import { createRng } from '../reference/rng';
import { EmulatedCommands } from '../support/emulated-matrix';
import { relativeL2 } from '../support/gpu';
import { device, input, output, read, run } from './support';

const TILE = 32;
const cmd = new EmulatedCommands(device);
/** SwiftShader's are of 4 threads, lavapipe's of 8. */
const subgroup = (device.adapterInfo as GPUAdapterInfo & { subgroupMaxSize: number }).subgroupMaxSize;

interface Case {
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Scores have about this standard deviation. */
  scores?: number;
  /** Size of the gradients, and how many powers of two they are apart. */
  gradients?: number;
  apart?: number;
}

type Shapes = Record<AttentionKind, MatrixAttentionShape>;

async function errors(pairs: TokenizedPair[], c: Case, shapes: Shapes) {
  const rng = createRng(7);
  const { heads, kvHeads, headDim, scores = 2, gradients = 1, apart = 0 } = c;
  const scales = { nll: 1, oddsRatio: 1 };
  const pack = packPairs(
    pairs.map((pair) => ({ pair, shape: pairShape(pair, true, TILE), scales })),
    true,
    TILE,
  );
  const { tokens } = pack;
  const { layout } = referencePack([pairs]);
  const dims = { tokens, heads, kvHeads, headDim };
  const values = (count: number, size: number) => rng.normals(tokens * count * headDim).map((v) => size * v);
  const q = values(heads, scores);
  const k = values(kvHeads, 1);
  const v = values(kvHeads, 1);
  const dO = values(heads, gradients).map((x, i) => x * 2 ** -((Math.floor(i / (heads * headDim)) * 7) % (apart + 1)));
  const width = (heads + 2 * kvHeads) * headDim;
  const qkv = new Float64Array(tokens * width);
  for (let t = 0; t < tokens; t++) {
    qkv.set(q.subarray(t * heads * headDim, (t + 1) * heads * headDim), t * width);
    qkv.set(k.subarray(t * kvHeads * headDim, (t + 1) * kvHeads * headDim), t * width + heads * headDim);
    qkv.set(v.subarray(t * kvHeads * headDim, (t + 1) * kvHeads * headDim), t * width + (heads + kvHeads) * headDim);
  }
  const args: AttentionArgs = {
    ...dims,
    qkv: input(qkv),
    tiles: input(pack.tileTable),
    tileCount: pack.tiles,
    span: pack.span,
  };
  const g = {
    out: output(tokens * heads * headDim),
    lse: output(tokens * heads),
    dOut: input(dO),
    delta: output(tokens * heads),
    dQkv: output(qkv.length),
  };
  const tops = output(tokens * heads);
  const dispatch = (kind: AttentionKind, views: Record<string, View>) => {
    const all = { qkv: args.qkv, tiles: args.tiles, ...views };
    matrixAttention(cmd, { spelling: 'template', subgroup }, kind, shapes[kind], TILE, args, all, 0);
  };
  await run(() => {
    dispatch('FORWARD', { out: g.out, lse: g.lse });
    matrixAttentionDelta(cmd, args, g, tops);
    const views = { d_out: g.dOut, lse: g.lse, delta: g.delta, tops, d_qkv: g.dQkv };
    dispatch('BACKWARD_Q', views);
    dispatch('BACKWARD_KV', views);
  }, cmd);
  const f = reference.attention(q, k, v, layout, dims);
  const b = reference.attentionBackward(dO, q, k, v, f, layout, dims);
  const d = await read(g.dQkv);
  const part = (from: number, count: number) => {
    const out = new Float32Array(tokens * count);
    for (let t = 0; t < tokens; t++) out.set(d.subarray(t * width + from, t * width + from + count), t * count);
    return out;
  };
  const lse = await read(g.lse);
  const queries = heads * headDim;
  const keys = kvHeads * headDim;
  return {
    out: relativeL2(await read(g.out), f.o),
    lse: Math.max(...lse.map((x, i) => Math.abs(x - f.lse[i]))),
    dQ: relativeL2(part(0, queries), b.dq),
    dK: relativeL2(part(queries, keys), b.dk),
    dV: relativeL2(part(queries + keys, keys), b.dv),
  };
}

describe('attention on matrix units', () => {
  const rng = createRng(3);
  const pairs = [randomPair(rng, 100, 21, 35, 3), randomPair(rng, 100, 2, 40, 33), randomPair(rng, 100, 1, 1, 1)];
  const shapes: Shapes = {
    FORWARD: { sr: 1, wm: 2, wn: 1, bn: 16, heads: 2 },
    BACKWARD_Q: { sr: 1, wm: 2, wn: 2, bn: 16, heads: 2 },
    BACKWARD_KV: { sr: 1, wm: 1, wn: 2, bn: 16, heads: 1 },
  };

  test.each<[string, Partial<Case>]>([
    ['runs shorter and longer than a tile', {}],
    ['tiny gradients, far apart', { gradients: 1e-8, apart: 12 }],
    ['scores far apart', { scores: 10 }],
  ])('%s', async (_, c) => {
    const e = await errors(pairs, { heads: 4, kvHeads: 2, headDim: 32, ...c }, shapes);
    for (const [name, error] of Object.entries(e)) expect(error, name).toBeLessThan(name === 'lse' ? 2e-2 : 4e-3);
  });
});
