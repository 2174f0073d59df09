/** Seeded random numbers for test inputs: small, fast, the same on every machine. */
export interface Rng {
  /** Uniform in [0, 1). */
  uniform(): number;
  /** Standard normal. */
  normal(): number;
  /** Uniform integer in [0, n). */
  int(n: number): number;
  /** `n` normals with standard deviation `std`, each rounded to float32 so that a GPU can be fed the very same values. */
  normals(n: number, std?: number): Float64Array;
  /** `n` uniforms in [low, high), each rounded to float32. */
  uniforms(n: number, low: number, high: number): Float64Array;
}

/** mulberry32 with the Box-Muller transform on top. */
export function createRng(seed: number): Rng {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const fill = (n: number, draw: () => number): Float64Array => {
    const out = new Float64Array(n);
    for (let i = 0; i < n; i++) out[i] = Math.fround(draw());
    return out;
  };
  return {
    uniform,
    normal,
    int: (n) => Math.floor(uniform() * n),
    normals: (n, std = 1) => fill(n, () => std * normal()),
    uniforms: (n, low, high) => fill(n, () => low + (high - low) * uniform()),
  };
}
