// The largest of each row of logits and the runner-up: picks [row] = (column, largest, second largest, 0), the floats as
// bits; ids [row] = column, which is the next step's token. Of equal ones the first column wins, as in torch.
struct Params {
  columns: u32, ld: u32, first_pick: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> picks: array<vec4u>;

var<workgroup> columns: array<u32, ROW_THREADS>;
var<workgroup> best: array<vec2f, ROW_THREADS>;

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  var column = thread;
  var top = vec2f(-1e38);
  for (var c = thread; c < p.columns; c += ROW_THREADS) {
    let z = logits[row * p.ld + c];
    if (z > top.x) {
      top = vec2f(z, top.x);
      column = c;
    } else {
      top.y = max(top.y, z);
    }
  }
  columns[thread] = column;
  best[thread] = top;
  workgroupBarrier();
  if (thread > 0u) { return; }
  for (var i = 1u; i < min(ROW_THREADS, p.columns); i++) {
    let other = best[i];
    if (other.x > top.x || (other.x == top.x && columns[i] < column)) {
      top = vec2f(other.x, max(top.x, other.y));
      column = columns[i];
    } else {
      top.y = max(top.y, other.x);
    }
  }
  ids[row] = column;
  picks[p.first_pick + row] = vec4u(column, bitcast<vec2u>(top), 0u);
}
