// Online log-sum-exp over vocabulary chunks: folds one tile of logits [rows, columns] into (max, Σ exp(z - max)) per
// row. `first` starts the pair anew.
struct Params {
  rows: u32, columns: u32, ld: u32, first_row: u32, first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> stats: array<vec4f>;

//#include reduce

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  var top = -1e30;
  for (var c = thread; c < p.columns; c += ROW_THREADS) { top = max(top, logits[row * p.ld + c]); }
  var old = vec4f(-1e30, 0.0, 0.0, 0.0);
  if (p.first == 0u) { old = stats[p.first_row + row]; }
  top = max(workgroup_max(top, thread), old.x);
  // Summed in stretches: a long f32 sum that is nearly 1 already would lose what most columns add.
  var sum = 0.0;
  for (var c0 = thread; c0 < p.columns; c0 += 32u * ROW_THREADS) {
    var part = 0.0;
    for (var c = c0; c < min(c0 + 32u * ROW_THREADS, p.columns); c += ROW_THREADS) {
      part += exp(logits[row * p.ld + c] - top);
    }
    sum += part;
  }
  sum = workgroup_sum(sum, thread);
  if (thread == 0u) { stats[p.first_row + row] = vec4f(top, old.y * exp(old.x - top) + sum, 0.0, 0.0); }
}
