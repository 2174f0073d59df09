// Causal grouped-query attention over packed runs with a shared prefix, flash style: scores never leave the workgroup.
// Saves lse = log Σ exp(score) per query for the backward.
//
// A row's weights are exp(score - reference), where the reference is raised (and what was summed so far scaled down) only when
// a score exceeds it by 2^8: few tiles do, after the first. Reference and sums are in powers of two.
//#include attention_tile

@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

const MASKED = -1e30;
const SLACK = 8.0;

// Largest score of each row in the order of signed integers.
var<workgroup> row_top: array<atomic<i32>, BM>;

fn ordered(value: f32) -> i32 {
  let bits = bitcast<i32>(value);
  return bits ^ ((bits >> 31u) & 0x7fffffff);
}
fn unordered(bits: i32) -> f32 { return bitcast<f32>(bits ^ ((bits >> 31u) & 0x7fffffff)); }

fn load_a(h: u32, head: u32, row: u32, end: u32, column: u32) -> vec4f { return load_qkv(row, end, q_column(head) + column); }
fn load_b(h: u32, head: u32, row: u32, end: u32, column: u32) -> vec4f { return load_qkv(row, end, k_column(head) + column); }
fn load_walked(h: u32, head: u32, row: u32, end: u32, column: u32) -> vec4f {
  return load_qkv(row, end, v_column(head) + column);
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  //#include attention_thread
  //#include attention_query
  for (var l = 0u; l < (BM + THREADS - 1u) / THREADS; l++) {
    let i = thread + l * THREADS;
    if (i < BM) { atomicStore(&row_top[i % BM], ordered(MASKED)); }
  }
  var wide0 = Wide();
  var top: array<f32, TM>;
  var sum: array<f32, TM>;
  for (var i = 0u; i < TM; i++) {
    top[i] = MASKED;
    sum[i] = 0.0;
  }
  let factor = p.scale * LOG2_E;
  for (var step = 0u; step < steps; step++) {
    //#include attention_keys
    //#include attention_scores
    if (walk + BN > min(start + 1u, last)) {
      for (var i = 0u; i < TM; i++) {
        let limit = min(start + (row0 + i * LANES_Y) % TOKENS, last - 1u);
        for (var j = 0u; j < TN / 4u; j++) {
          let k = walk + (quad0 + j * LANES_X) * 4u;
          let seen = vec4u(k, k + 1u, k + 2u, k + 3u) <= vec4u(limit);
          scores0[i * (TN / 4u) + j] = select(vec4f(MASKED), scores0[i * (TN / 4u) + j], seen);
        }
      }
    }
    for (var i = 0u; i < TM; i++) {
      var most = scores0[i * (TN / 4u)];
      for (var j = 1u; j < TN / 4u; j++) { most = max(most, scores0[i * (TN / 4u) + j]); }
      let largest = factor * max(max(most.x, most.y), max(most.z, most.w));
      if (largest > top[i] + SLACK) { atomicMax(&row_top[row0 + i * LANES_Y], ordered(largest)); }
    }
    workgroupBarrier();
    for (var i = 0u; i < TM; i++) {
      let reference = unordered(atomicLoad(&row_top[row0 + i * LANES_Y]));
      if (reference > top[i]) {
        let shrink = exp2(top[i] - reference);
        for (var j = 0u; j < COLS; j++) { wide0[i * COLS + j] *= shrink; }
        sum[i] *= shrink;
        top[i] = reference;
      }
      for (var j = 0u; j < TN / 4u; j++) {
        let e = exp2(scores0[i * (TN / 4u) + j] * factor - reference);
        scores0[i * (TN / 4u) + j] = e;
        sum[i] += (e.x + e.y) + (e.z + e.w);
      }
    }
    //#include attention_wide
  }
  workgroupBarrier();
  for (var i = 0u; i < TM; i++) { memory[(row0 + i * LANES_Y) * TX + tx] = vec4f(sum[i]); }
  workgroupBarrier();
  for (var i = 0u; i < TM; i++) {
    let row = row0 + i * LANES_Y;
    var total = 0.0;
    for (var j = 0u; j < TX; j++) { total += memory[row * TX + j].x; }
    let token = start + row % TOKENS;
    if (token >= end) { continue; }
    let at = token * p.heads + head + row / TOKENS;
    if (tx == 0u) { lse[at] = (top[i] + log2(total)) / LOG2_E; }
    for (var j = 0u; j < COLS; j++) {
      let column = tx + j * TX;
      if (column < WIDE) { out[at * WIDE + column] = wide0[i * COLS + j] / total; }
    }
  }
}
