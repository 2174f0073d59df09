/** F32 safetensors read from their definition, without the project's own reader, so that both must be right. */
export interface Tensor {
  shape: number[];
  values: Float32Array;
}

export function readF32(file: Uint8Array): Map<string, Tensor> {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  const out = new Map<string, Tensor>();
  for (const [name, entry] of Object.entries<{ dtype: string; shape: number[]; data_offsets: number[] }>(header)) {
    if (name === '__metadata__') continue;
    if (entry.dtype !== 'F32') throw new Error(`${name} is ${entry.dtype}`);
    const [begin, end] = entry.data_offsets.map((offset) => 8 + length + offset);
    const values = new Float32Array(Uint8Array.from(file.subarray(begin, end)).buffer);
    if (values.length !== entry.shape.reduce((a, b) => a * b, 1)) throw new Error(`${name} does not fill its shape`);
    out.set(name, { shape: entry.shape, values });
  }
  return out;
}

/** s * (B A) in float64, row-major [out, in]. */
export function loraDelta(a: Tensor, b: Tensor, scale: number): Float64Array {
  const [r, inputs] = a.shape;
  const [outputs] = b.shape;
  const out = new Float64Array(outputs * inputs);
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      let sum = 0;
      for (let k = 0; k < r; k++) sum += b.values[o * r + k] * a.values[k * inputs + i];
      out[o * inputs + i] = scale * sum;
    }
  }
  return out;
}
