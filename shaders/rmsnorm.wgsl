// RMSNorm: y = g * x * rsqrt(mean(x²) + eps), one row a workgroup; `hidden` is a multiple of 4.
// With GATHER the row read is rows[r] (the loss looks at some tokens only).
//
// Backward, with n = x r and r = rsqrt(mean(x²) + eps):  dx = r (g dy - n mean(g dy n)).
// It is added to `dx`. With GATHER the result goes to row rows[r] of dx.
struct Params {
  rows: u32, hidden: u32, eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> gain: array<vec4f>;
//#if BACKWARD
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> dx: array<vec4f>;
//#else
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
//#endif
//#if GATHER
@group(0) @binding(5) var<storage, read> rows: array<u32>;
//#endif

//#include reduce

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x + group.y * 65535u;
  if (row >= p.rows) { return; }
  let count = p.hidden / 4u;
  //#if GATHER
  let at = rows[row] * count;
  //#else
  let at = row * count;
  //#endif
  var squares = 0.0;
  for (var i = thread; i < count; i += ROW_THREADS) {
    squares += dot(x[at + i], x[at + i]);
  }
  let r = inverseSqrt(workgroup_sum(squares, thread) / f32(p.hidden) + p.eps);
  //#if BACKWARD
  var sum = 0.0;
  for (var i = thread; i < count; i += ROW_THREADS) {
    sum += dot(gain[i] * dy[row * count + i], x[at + i]);
  }
  let mean = workgroup_sum(sum, thread) * r / f32(p.hidden);
  for (var i = thread; i < count; i += ROW_THREADS) {
    dx[at + i] += r * (gain[i] * dy[row * count + i] - x[at + i] * r * mean);
  }
  //#else
  for (var i = thread; i < count; i += ROW_THREADS) {
    y[row * count + i] = gain[i] * (x[at + i] * r);
  }
  //#endif
}
