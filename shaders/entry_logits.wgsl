// The logit of each loss entry's target: z[e] = hidden[row[e]] · head[target[e]]. The head may lie in several buffers;
// each dispatch writes the entries whose target is in its part.
struct Params {
  entries: u32, hidden: u32, first_row: u32, rows: u32,
  nested_blocks: u32, nested_offset: f32, nested_first: u32,
}

struct Entry {
  row: u32, target_id: u32, roles: u32, unused0: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> entries: array<Entry>;
//#include weight
@group(0) @binding(4) var<storage, read_write> z: array<f32>;
@group(0) @binding(5) var<storage, read> hidden: array<vec4f>;

//#include reduce

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let e = group.x + group.y * 65535u;
  if (e >= p.entries) { return; }
  let at = entries[e].target_id - p.first_row;
  if (at >= p.rows) { return; }
  let row = entries[e].row * (p.hidden / 4u);
  var sum = 0.0;
  for (var i = thread; i < p.hidden / 4u; i += ROW_THREADS) {
    sum += dot(hidden[row + i], load_weight4(at * p.hidden + 4u * i));
  }
  sum = workgroup_sum(sum, thread);
  if (thread == 0u) { z[e] = sum; }
}
