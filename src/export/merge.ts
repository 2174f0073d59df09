import { type AdapterTensor, loraKey, parseBaseWeightName } from '../formats/peft';

/** Adds the adapter to base weights. The GPU engine has its own; {@link adapterMerger} is the reference on the CPU. */
export interface Merger {
  /** Whether this base weight, e.g. `model.layers.0.self_attn.q_proj.weight`, has LoRA. */
  has(name: string): boolean;
  /** The merged weight in f32, from the base weight (row-major [out, in]), which may be overwritten. */
  merge(name: string, weight: Float32Array, shape: readonly number[]): Float32Array | Promise<Float32Array>;
}

export interface LoraMatrices {
  /** [r, in] */
  a: Float32Array;
  /** [out, r] */
  b: Float32Array;
  r: number;
  /** alpha / r, or alpha / sqrt(r) with rsLoRA. */
  scale: number;
  /** DoRA only: [out]. */
  magnitude?: Float32Array;
}

const fround = Math.fround;

/**
 * W + s * (B @ A), as PEFT merges: the product and then the scaling and the sum are rounded to f32. With a magnitude, DoRA:
 * each row of that is then multiplied by magnitude / its L2 norm. Writes into `weight` and returns it.
 */
export function mergeLora(weight: Float32Array, shape: readonly number[], lora: LoraMatrices): Float32Array {
  const [outputs, inputs] = shape;
  const { a, b, r, magnitude } = lora;
  const scale = fround(lora.scale);
  if (weight.length !== outputs * inputs || a.length !== r * inputs || b.length !== outputs * r) {
    throw new RangeError(
      `LoRA of rank ${r} (A: ${a.length}, B: ${b.length} values) does not fit a weight of [${shape}]`,
    );
  }
  const product = new Float64Array(inputs);
  for (let o = 0; o < outputs; o++) {
    product.fill(0);
    for (let k = 0; k < r; k += 4) addRows(product, a, k, r, b, o * r);
    const row = weight.subarray(o * inputs, (o + 1) * inputs);
    for (let i = 0; i < inputs; i++) row[i] += fround(scale * fround(product[i]));
    if (!magnitude) continue;
    let squares = 0;
    for (const w of row) squares += w * w;
    const factor = fround(magnitude[o] / fround(Math.sqrt(squares)));
    for (let i = 0; i < inputs; i++) row[i] *= factor;
  }
  return weight;
}

/** product += the sum of up to four rows k.. of A, each times its value of B; four at a time halve the memory traffic. */
function addRows(product: Float64Array, a: Float32Array, k: number, r: number, b: Float32Array, row: number): void {
  const n = product.length;
  const [b0, b1, b2, b3] = [0, 1, 2, 3].map((j) => (k + j < r ? b[row + k + j] : 0));
  // Rows beyond the last stand for the first, with weight 0.
  const [a0, a1, a2, a3] = [0, 1, 2, 3].map((j) => (k + j < r ? k + j : k) * n);
  for (let i = 0; i < n; i++) product[i] += b0 * a[a0 + i] + b1 * a[a1 + i] + b2 * a[a2 + i] + b3 * a[a3 + i];
}

/** A {@link Merger} of an adapter in PEFT's keys, on the CPU. `scale` as by {@link import('../formats/peft').loraScale}. */
export function adapterMerger(tensors: ReadonlyMap<string, AdapterTensor>, scale: number): Merger {
  const find = (name: string): LoraMatrices | null => {
    const at = parseBaseWeightName(name);
    if (!at) return null;
    const [a, b, magnitude] = (['A', 'B', 'magnitude'] as const).map((part) => tensors.get(loraKey({ ...at, part })));
    if (!a || !b) return null;
    return { a: a.values, b: b.values, r: a.shape[0], scale, magnitude: magnitude?.values };
  };
  return {
    has: (name) => find(name) !== null,
    merge(name, weight, shape) {
      const lora = find(name);
      return lora ? mergeLora(weight, shape, lora) : weight;
    },
  };
}
