// Gathers embedding rows: y[t] = table[ids[t]]. The table may lie in several buffers of whole rows; each dispatch
// writes the tokens whose row is in its part.
struct Params {
  tokens: u32, hidden: u32,
  first_row: u32, rows: u32,
  nested_blocks: u32, nested_offset: f32, nested_first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
//#include weight
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let t = group.x + group.y * 65535u;
  if (t >= p.tokens) { return; }
  let row = ids[t] - p.first_row;
  if (row >= p.rows) { return; }
  for (var i = thread; i < p.hidden / 4u; i += ROW_THREADS) {
    y[t * (p.hidden / 4u) + i] = load_weight4(row * p.hidden + 4u * i);
  }
}
