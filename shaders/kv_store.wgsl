// Keys and values of fused rows [queries, keys, values] into the cache: token t's go to row rows[t]. A row of the cache
// holds all keys and then all values of one token of one layer. Widths in values, multiples of 4.
struct Params {
  tokens: u32, width: u32, ld: u32, offset: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> cache: array<vec4f>;

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let t = group.x + group.y * 65535u;
  if (t >= p.tokens) { return; }
  for (var i = thread; i < p.width / 4u; i += ROW_THREADS) {
    cache[rows[t] * (p.width / 4u) + i] = qkv[(t * p.ld + p.offset) / 4u + i];
  }
}
