// delta = Σ_d dOut * Out per token and head: the part of the softmax's backward that a whole row shares.
struct Params {
  count: u32, head_dim: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> out: array<vec4f>;
@group(0) @binding(2) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> delta: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x + id.y * 65535u * 64u;
  if (i >= p.count) { return; }
  let width = p.head_dim / 4u;
  var sum = 0.0;
  for (var d = 0u; d < width; d++) { sum += dot(out[i * width + d], d_out[i * width + d]); }
  delta[i] = sum;
}
