// Turns one tile of logits [rows, columns] into their gradient, in place:
//   d[r][c] = Σ_e w[e] (exp(z - lse) - [first_column + c == target[e]])   over the entries e of row r.
// Columns up to `ld` beyond `columns` become zero, so that the product with the head may read them.
struct Params {
  rows: u32, columns: u32, ld: u32, first_row: u32, first_column: u32,
}

struct Entry {
  row: u32, target_id: u32, roles: u32, unused0: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<f32>;
@group(0) @binding(2) var<storage, read> stats: array<vec2f>;
@group(0) @binding(3) var<storage, read> entries: array<Entry>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
// Entries of row r are row_entries[r] .. row_entries[r + 1].
@group(0) @binding(5) var<storage, read> row_entries: array<u32>;

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = p.first_row + group.x;
  let s = stats[row];
  let begin = row_entries[row];
  let end = row_entries[row + 1u];
  var total = 0.0;
  for (var e = begin; e < end; e++) { total += weights[e]; }
  for (var c = thread; c < p.ld; c += ROW_THREADS) {
    let at = group.x * p.ld + c;
    var d = 0.0;
    if (c < p.columns) {
      d = total * exp(logits[at] - s.x) / s.y;
      for (var e = begin; e < end; e++) {
        d -= select(0.0, weights[e], entries[e].target_id == p.first_column + c);
      }
    }
    logits[at] = d;
  }
}
