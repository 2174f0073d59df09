// The head's softmax on the way to its gradient, one tile of logits [rows, columns] after the other, as flash attention
// does it: the tile becomes exp(z - max) in place, with the largest logit so far, and what was summed with an earlier maximum
// is scaled down: the sums of this row, and its row of `weighted`, to which the caller then adds tile x head.
//
// The targets of a row's entries become zero in the tile: their share, p - 1, would cancel in a sum over the vocabulary when
// p is nearly 1. head_gradient.wgsl adds it from the sum without the targets. Columns up to `ld` beyond `columns` become
// zero, so that the product with the head may read them. The tile with `first` starts a row anew; `weighted` is not read then.
struct Params {
  rows: u32, columns: u32, ld: u32, first_row: u32, first_column: u32, first: u32, hidden: u32,
}

struct Entry {
  row: u32, target_id: u32, roles: u32, unused0: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<f32>;
// Per row: the largest logit, Σ exp(z - max), and that sum without the targets.
@group(0) @binding(2) var<storage, read_write> stats: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> weighted: array<vec4f>;
@group(0) @binding(4) var<storage, read> entries: array<Entry>;
// Entries of row r are row_entries[r] .. row_entries[r + 1].
@group(0) @binding(5) var<storage, read> row_entries: array<u32>;

//#include reduce

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = p.first_row + group.x;
  let at = group.x * p.ld;
  var top = -1e30;
  for (var c = thread; c < p.columns; c += ROW_THREADS) { top = max(top, logits[at + c]); }
  var old = vec4f(-1e30, 0.0, 0.0, 0.0);
  if (p.first == 0u) { old = stats[row]; }
  top = max(workgroup_max(top, thread), old.x);
  let begin = row_entries[row];
  let end = row_entries[row + 1u];
  // Summed in stretches: a long f32 sum that is nearly 1 already would lose what most columns add.
  var sum = 0.0;
  var targets = 0.0;
  for (var c0 = thread; c0 < p.ld; c0 += 32u * ROW_THREADS) {
    var part = 0.0;
    for (var c = c0; c < min(c0 + 32u * ROW_THREADS, p.ld); c += ROW_THREADS) {
      var e = 0.0;
      if (c < p.columns) {
        e = exp(logits[at + c] - top);
        for (var i = begin; i < end; i++) {
          if (entries[i].target_id == p.first_column + c) {
            targets += e;
            e = 0.0;
          }
        }
      }
      logits[at + c] = e;
      part += e;
    }
    sum += part;
  }
  sum = workgroup_sum(sum, thread);
  targets = workgroup_sum(targets, thread);
  let scale = exp(old.x - top);
  if (thread == 0u) { stats[row] = vec4f(top, old.y * scale + (sum + targets), old.z * scale + sum, 0.0); }
  if (p.first == 0u && scale != 1.0) {
    for (var i = thread; i < p.hidden / 4u; i += ROW_THREADS) { weighted[row * (p.hidden / 4u) + i] *= scale; }
  }
}
