// Sum of squares in two stages. Stage one: workgroup i sums its stretch of `values` into partials[first + i].
// Stage two (FINAL): one workgroup sums all partials and leaves [norm, clipping factor], where
// factor = min(1, max_norm / (norm + 1e-6)) as torch's clip_grad_norm_, or 1 when max_norm is 0. A norm that is not
// finite (tested by its bits) gives the factor -1, at which the optimizer leaves everything as it is. So does every norm
// after it, until the host clears `result`: steps that were queued before the host saw the bad one change nothing either.
struct Params {
  count: u32, first: u32, stretch: u32, max_norm: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
//#if FINAL
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
//#else
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;
//#endif

//#include reduce

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  var sum = 0.0;
  //#if FINAL
  for (var i = thread; i < p.count; i += ROW_THREADS) { sum += partials[i]; }
  sum = workgroup_sum(sum, thread);
  if (thread == 0u) {
    let norm = sqrt(sum);
    result[0] = norm;
    let stays = result[1] < 0.0;
    let factor = select(1.0, min(1.0, p.max_norm / (norm + 1e-6)), p.max_norm > 0.0);
    result[1] = select(factor, -1.0, stays || (bitcast<u32>(sum) & 0x7f800000u) == 0x7f800000u);
  }
  //#else
  let begin = group.x * p.stretch;
  for (var i = begin + thread; i < min(begin + p.stretch, p.count); i += ROW_THREADS) { sum += values[i] * values[i]; }
  sum = workgroup_sum(sum, thread);
  if (thread == 0u) { partials[p.first + group.x] = sum; }
  //#endif
}
