/** AdamW as torch, bitsandbytes 32-bit and bitsandbytes 8-bit compute it, and clipping by the global norm. */
import { readFileSync } from 'node:fs';

export type AdamWKind = 'adamw_torch' | 'adamw_bnb_32bit' | 'adamw_8bit';

export interface AdamWOptions {
  kind: AdamWKind;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
}

interface State {
  m: Float64Array;
  v: Float64Array;
  /** 8-bit only: per block of 256 the absmax of m and v, per element their codes. */
  blocks?: { absmaxM: Float64Array; absmaxV: Float64Array; codesM: Uint8Array; codesV: Uint8Array };
}

const BLOCK = 256;
/** Tensors with fewer elements keep 32-bit states under adamw_8bit. */
export const MIN_8BIT_SIZE = 4096;

const maps = JSON.parse(readFileSync(new URL('../fixtures/bnb_maps.json', import.meta.url), 'utf8'));
export const SIGNED_MAP = Float64Array.from(maps.dynamic_signed as number[]);
export const UNSIGNED_MAP = Float64Array.from(maps.dynamic_unsigned as number[]);

/** Scales all gradients in place by min(1, maxNorm / (norm + 1e-6)); returns the norm before. maxNorm 0: no clipping. */
export function clipGradNorm(grads: Iterable<Float64Array>, maxNorm: number): number {
  const list = [...grads];
  let sum = 0;
  for (const grad of list) for (const g of grad) sum += g * g;
  const norm = Math.sqrt(sum);
  if (maxNorm > 0) {
    const factor = Math.min(1, maxNorm / (norm + 1e-6));
    for (const grad of list) for (let i = 0; i < grad.length; i++) grad[i] *= factor;
  }
  return norm;
}

/** Index of the map's value nearest to x; the lower one on a tie. */
export function nearestCode(map: Float64Array, x: number): number {
  let lo = 0;
  let hi = map.length - 1;
  while (hi - lo > 1) {
    const mid = (lo + hi) >> 1;
    if (map[mid] <= x) lo = mid;
    else hi = mid;
  }
  return x - map[lo] <= map[hi] - x ? lo : hi;
}

const isNegative = (x: number) => x < 0 || Object.is(x, -0);

/** One optimizer over named parameter tensors, updated in place. */
export class AdamW {
  private readonly states = new Map<string, State>();
  private readonly options: AdamWOptions;
  private t = 0;

  constructor(options: AdamWOptions) {
    this.options = options;
  }

  /** Moments of a tensor (dequantised for 8-bit states). */
  state(name: string): State | undefined {
    return this.states.get(name);
  }

  step(params: Map<string, Float64Array>, grads: Map<string, Float64Array>, lr: number): void {
    this.t += 1;
    for (const [name, p] of params) {
      const g = grads.get(name);
      if (!g) continue;
      let state = this.states.get(name);
      if (!state) {
        state = this.createState(p.length);
        this.states.set(name, state);
      }
      if (this.options.kind === 'adamw_torch') this.stepTorch(p, g, state, lr);
      else this.stepBnb(p, g, state, lr);
    }
  }

  private createState(n: number): State {
    const state: State = { m: new Float64Array(n), v: new Float64Array(n) };
    if (this.options.kind === 'adamw_8bit' && n >= MIN_8BIT_SIZE) {
      const count = Math.ceil(n / BLOCK);
      state.blocks = {
        absmaxM: new Float64Array(count),
        absmaxV: new Float64Array(count),
        codesM: new Uint8Array(n),
        codesV: new Uint8Array(n),
      };
    }
    return state;
  }

  /** Decay first, then p -= lr/(1-β1^t) · m / (sqrt(v)/sqrt(1-β2^t) + eps). */
  private stepTorch(p: Float64Array, g: Float64Array, { m, v }: State, lr: number): void {
    const { beta1, beta2, eps, weightDecay } = this.options;
    const c1 = 1 - beta1 ** this.t;
    const c2 = Math.sqrt(1 - beta2 ** this.t);
    for (let i = 0; i < p.length; i++) {
      p[i] *= 1 - lr * weightDecay;
      m[i] = beta1 * m[i] + (1 - beta1) * g[i];
      v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
      p[i] -= ((lr / c1) * m[i]) / (Math.sqrt(v[i]) / c2 + eps);
    }
  }

  /** p += step · m / (sqrt(v) + c2 · eps) with the fresh moments, decay afterwards, moments quantised last (8-bit). */
  private stepBnb(p: Float64Array, g: Float64Array, state: State, lr: number): void {
    const { beta1, beta2, eps, weightDecay } = this.options;
    const { m, v, blocks } = state;
    const c2 = Math.sqrt(1 - beta2 ** this.t);
    const step = (-lr * c2) / (1 - beta1 ** this.t);
    for (let i = 0; i < p.length; i++) {
      // Only the 8-bit kernel guards against a gradient that is not finite: the element's moments restart.
      if (blocks && !Number.isFinite(g[i])) {
        m[i] = 0;
        v[i] = 0;
      } else {
        m[i] = beta1 * m[i] + (1 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
        p[i] += (step * m[i]) / (Math.sqrt(v[i]) + c2 * eps);
      }
      p[i] *= 1 - lr * weightDecay;
    }
    if (blocks) quantiseMoments(m, v, blocks);
  }
}

/** Rounds m and v in place to what their 8-bit codes can hold. */
function quantiseMoments(m: Float64Array, v: Float64Array, blocks: NonNullable<State['blocks']>): void {
  for (let b = 0; b * BLOCK < m.length; b++) {
    const end = Math.min((b + 1) * BLOCK, m.length);
    let absmaxM = 0;
    let absmaxV = 0;
    for (let i = b * BLOCK; i < end; i++) {
      absmaxM = Math.max(absmaxM, Math.abs(m[i]));
      absmaxV = Math.max(absmaxV, v[i]);
    }
    blocks.absmaxM[b] = absmaxM;
    blocks.absmaxV[b] = absmaxV;
    for (let i = b * BLOCK; i < end; i++) {
      let code = nearestCode(SIGNED_MAP, absmaxM > 0 ? m[i] / absmaxM : 0);
      // A tiny moment keeps its sign: it never becomes a zero of the other sign.
      if (isNegative(SIGNED_MAP[code]) !== isNegative(m[i])) code += m[i] > 0 ? 1 : -1;
      blocks.codesM[i] = Math.min(255, Math.max(0, code));
      blocks.codesV[i] = nearestCode(UNSIGNED_MAP, absmaxV > 0 ? v[i] / absmaxV : 0);
      m[i] = SIGNED_MAP[blocks.codesM[i]] * absmaxM;
      v[i] = UNSIGNED_MAP[blocks.codesV[i]] * absmaxV;
    }
  }
}
