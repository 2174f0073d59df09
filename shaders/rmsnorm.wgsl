// RMSNorm: y = g * x * rsqrt(mean(x²) + eps), one row a workgroup.
// With GATHER the row read is rows[r] (the loss looks at some tokens only).
//
// Backward, with n = x r and r = rsqrt(mean(x²) + eps):  dx = r (g dy - n mean(g dy n)).
// It is added to `dx`. With GATHER the result goes to row rows[r] of dx.
struct Params {
  rows: u32, hidden: u32, eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
//#if BACKWARD
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
//#else
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
//#endif
//#if GATHER
@group(0) @binding(5) var<storage, read> rows: array<u32>;
//#endif

//#include reduce

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x + group.y * 65535u;
  if (row >= p.rows) { return; }
  //#if GATHER
  let at = rows[row] * p.hidden;
  //#else
  let at = row * p.hidden;
  //#endif
  var squares = 0.0;
  for (var i = thread; i < p.hidden; i += ROW_THREADS) {
    squares += x[at + i] * x[at + i];
  }
  let r = inverseSqrt(workgroup_sum(squares, thread) / f32(p.hidden) + p.eps);
  //#if BACKWARD
  var dot = 0.0;
  for (var i = thread; i < p.hidden; i += ROW_THREADS) {
    dot += gain[i] * dy[row * p.hidden + i] * x[at + i];
  }
  let mean = workgroup_sum(dot, thread) * r / f32(p.hidden);
  for (var i = thread; i < p.hidden; i += ROW_THREADS) {
    dx[at + i] += r * (gain[i] * dy[row * p.hidden + i] - x[at + i] * r * mean);
  }
  //#else
  for (var i = thread; i < p.hidden; i += ROW_THREADS) {
    y[row * p.hidden + i] = gain[i] * (x[at + i] * r);
  }
  //#endif
}
