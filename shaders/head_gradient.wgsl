// The gradient of the head's input, from what softmax_tile.wgsl left: with o = Σ exp(z - max) head[v] over all tokens v but the
// row's targets, s = Σ exp(z - max) over all, w[e] the weights of the row's entries and W their sum,
//   grad = W / s o + Σ_t c[t] head[t],   c[t] = W p[t] - Σ_e w[e] [target[e] = t]   over the row's different targets t,
// where p[t] - 1, of which c has Σ w[e] [target[e] = t], is minus the sum of all other shares: nothing cancels.
// The head may lie in several buffers: each dispatch adds the targets in its part, the `first` one scales as well.
struct Params {
  rows: u32, hidden: u32, first_row: u32, part_rows: u32, first: u32,
  nested_blocks: u32, nested_offset: f32, nested_first: u32,
}

struct Entry {
  row: u32, target_id: u32, roles: u32, unused0: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> grad: array<vec4f>;
//#include weight
@group(0) @binding(4) var<storage, read> stats: array<vec4f>;
@group(0) @binding(5) var<storage, read> entries: array<Entry>;
@group(0) @binding(6) var<storage, read> row_entries: array<u32>;
@group(0) @binding(7) var<storage, read> weights: array<f32>;
// The logit of each entry's target.
@group(0) @binding(8) var<storage, read> z: array<f32>;

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x + group.y * 65535u;
  if (row >= p.rows) { return; }
  let begin = row_entries[row];
  let end = row_entries[row + 1u];
  let s = stats[row];
  var total = 0.0;
  for (var e = begin; e < end; e++) { total += weights[e]; }
  let wide = p.hidden / 4u;
  if (p.first != 0u) {
    let scale = total / s.y;
    for (var i = thread; i < wide; i += ROW_THREADS) { grad[row * wide + i] *= scale; }
  }
  for (var e = begin; e < end; e++) {
    let id = entries[e].target_id;
    var own = 0.0;
    var rest = s.z / s.y;
    var seen = false;
    for (var f = begin; f < end; f++) {
      if (entries[f].target_id == id) {
        own += weights[f];
        seen = seen || f < e;
        continue;
      }
      var repeated = false;
      for (var h = begin; h < f; h++) { repeated = repeated || entries[h].target_id == entries[f].target_id; }
      rest += select(exp(z[f] - s.x) / s.y, 0.0, repeated);
    }
    if (seen || id < p.first_row || id >= p.first_row + p.part_rows) { continue; }
    let share = exp(z[e] - s.x) / s.y;
    let c = (total - own) * share - own * rest;
    for (var i = thread; i < wide; i += ROW_THREADS) {
      grad[row * wide + i] += c * load_weight4((id - p.first_row) * p.hidden + 4u * i);
    }
  }
}
