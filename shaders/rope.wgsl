// Rotary position embedding in place, Hugging Face's half-split layout: for d < head_dim / 2
//   out[d] = x[d] cos - x[d + half] sin,   out[d + half] = x[d + half] cos + x[d] sin.
// The backward is the same rotation by the negative angle (`sign` = -1). `table` holds cos and sin per position:
// [position][half] of vec2. The first `heads` heads of each row are turned (queries and keys of a fused row).
struct Params {
  tokens: u32, heads: u32, head_dim: u32, ld: u32, sign: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let t = group.x + group.y * 65535u;
  if (t >= p.tokens) { return; }
  let half = p.head_dim / 2u;
  let base = positions[t] * half;
  for (var i = thread; i < p.heads * half; i += ROW_THREADS) {
    let d = i % half;
    let a = t * p.ld + (i / half) * p.head_dim + d;
    let turn = table[base + d];
    let c = turn.x;
    let s = turn.y * p.sign;
    let lo = x[a];
    let hi = x[a + half];
    x[a] = lo * c - hi * s;
    x[a + half] = hi * c + lo * s;
  }
}
