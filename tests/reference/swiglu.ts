/** The gate of Llama's MLP: y = silu(gate) ∘ up, silu(x) = x σ(x), elementwise on equal shapes. */

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

export function swiglu(gate: Float64Array, up: Float64Array): Float64Array {
  return gate.map((g, i) => g * sigmoid(g) * up[i]);
}

/** silu'(x) = σ (1 + x (1 - σ)). */
export function swigluBackward(dy: Float64Array, gate: Float64Array, up: Float64Array) {
  const dGate = new Float64Array(gate.length);
  const dUp = new Float64Array(gate.length);
  for (let i = 0; i < gate.length; i++) {
    const s = sigmoid(gate[i]);
    dUp[i] = dy[i] * gate[i] * s;
    dGate[i] = dy[i] * up[i] * s * (1 + gate[i] * (1 - s));
  }
  return { dGate, dUp };
}
