// The mean logit over the vocabulary of each gathered row, as one dot product with the head's mean row, and beside it
// the sides (chosen, rejected) that the row belongs to.
struct Params {
  rows: u32, hidden: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> hidden: array<f32>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> sides: array<u32>;
@group(0) @binding(4) var<storage, read_write> row_logits: array<vec2f>;

//#include reduce

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x + group.y * 65535u;
  if (row >= p.rows) { return; }
  var sum = 0.0;
  for (var i = thread; i < p.hidden; i += ROW_THREADS) { sum += hidden[row * p.hidden + i] * mean[i]; }
  sum = workgroup_sum(sum, thread);
  if (thread == 0u) { row_logits[row] = vec2f(sum, f32(sides[row])); }
}
