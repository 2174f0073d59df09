// Shared by the backward kernels of attention: their other bindings.
@group(0) @binding(3) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_qkv: array<vec4f>;

fn load_d_out(row: u32, end: u32, column: u32) -> vec4f {
  if (row >= end) { return vec4f(); }
  return d_out[row * p.heads * WIDE + column];
}
