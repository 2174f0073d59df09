// Sums and maxima over a workgroup of ROW_THREADS (a power of two); every thread gets the result.
var<workgroup> reduce_scratch: array<f32, ROW_THREADS>;

fn workgroup_sum(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  workgroupBarrier();
  for (var half = ROW_THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half) { reduce_scratch[thread] += reduce_scratch[thread + half]; }
    workgroupBarrier();
  }
  let total = reduce_scratch[0];
  workgroupBarrier();
  return total;
}

fn workgroup_max(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  workgroupBarrier();
  for (var half = ROW_THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half) { reduce_scratch[thread] = max(reduce_scratch[thread], reduce_scratch[thread + half]); }
    workgroupBarrier();
  }
  let top = reduce_scratch[0];
  workgroupBarrier();
  return top;
}
