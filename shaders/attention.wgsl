// Causal grouped-query attention over packed runs with a shared prefix, flash style: scores never leave the workgroup.
// One workgroup makes BM queries of one head. Saves lse = log Σ exp(score) per query for the backward.
//
// A row's weights are exp(score - reference), where the reference is raised (and what was summed so far scaled down) only when
// a score exceeds it by 2^8: few tiles do, after the first. Scores, reference and sums are in powers of two.
//#include attention_tile

@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

const MASKED = -1e30;
const SLACK = 8.0;
// The queries stay for the whole walk where KEEP is 1.
const A_SIZE = select(1u, CHUNKS, KEEP == 1u) * A_CHUNK;
const B_AT = A_SIZE;
const W_AT = B_AT + max(B_CHUNK, STAGED_ROWS);

var<workgroup> memory: array<vec4f, W_AT + WEIGHTS>;
// Largest score of each row in the order of signed integers.
var<workgroup> row_top: array<atomic<i32>, BM>;

fn ordered(value: f32) -> i32 {
  let bits = bitcast<i32>(value);
  return bits ^ ((bits >> 31u) & 0x7fffffff);
}
fn unordered(bits: i32) -> f32 { return bitcast<f32>(bits ^ ((bits >> 31u) & 0x7fffffff)); }

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  // The last tiles of a run walk furthest: they go first.
  let place = groups.y - 1u - group.y;
  let tile = tiles[place / PARTS];
  let head = group.x;
  let kv_head = head / (p.heads / p.kv_heads);
  let start = tile.start + place % PARTS * BM;
  if (start >= tile.start + tile.count) { return; }
  let end = min(start + BM, tile.start + tile.count);
  let tx = thread_x(thread);
  let ty = thread_y(thread);
  // A prefix that ends where the run begins is walked as part of it.
  let joined = tile.prefix_end == tile.run_start;
  let own_first = select(tile.run_start, tile.prefix_start, joined);
  let prefix_steps = select((tile.prefix_end - tile.prefix_start + BN - 1u) / BN, 0u, joined);
  let steps = prefix_steps + (end - own_first + BN - 1u) / BN;

  for (var i = thread; i < BM; i += THREADS) { atomicStore(&row_top[i % BM], ordered(MASKED)); }
  if (KEEP == 1u) {
    for (var c = 0u; c < CHUNKS; c++) {
      stage_qkv_a(c % CHUNKS * A_CHUNK, start, end, q_column(head) + c * DQ, thread);
    }
  }
  var acc = Wide();
  var top: array<f32, TM>;
  var sum: array<f32, TM>;
  for (var i = 0u; i < TM; i++) {
    top[i] = MASKED;
    sum[i] = 0.0;
  }
  let first_key = select(tile.prefix_start, own_first, prefix_steps == 0u);
  let first_last = select(tile.prefix_end, end, prefix_steps == 0u);
  var next: Fetched;
  if (PREFETCH == 1u) { fetch_qkv_b(&next, first_key, first_last, k_column(kv_head), thread); }
  for (var step = 0u; step < steps; step++) {
    let own = step >= prefix_steps;
    let k0 = select(tile.prefix_start + step * BN, own_first + (step - prefix_steps) * BN, own);
    let last = select(tile.prefix_end, end, own);
    var scores = Scores();
    for (var c = 0u; c < CHUNKS; c++) {
      if (c > 0u) { workgroupBarrier(); }
      if (KEEP == 0u) { stage_qkv_a(0u, start, end, q_column(head) + c * DQ, thread); }
      if (PREFETCH == 1u) {
        put_b(&next, B_AT, thread);
      } else {
        stage_qkv_b(B_AT, k0, last, k_column(kv_head) + c * DQ, thread);
      }
      workgroupBarrier();
      if (PREFETCH == 1u) {
        if (c + 1u < CHUNKS) {
          fetch_qkv_b(&next, k0, last, k_column(kv_head) + (c + 1u) * DQ, thread);
        } else {
          fetch_qkv_wide(&next, k0, last, v_column(kv_head), thread);
        }
      }
      multiply(&scores, select(0u, c % CHUNKS * A_CHUNK, KEEP == 1u), B_AT, tx, ty);
    }
    for (var i = 0u; i < TM * TN / 4u; i++) { scores[i] *= p.scale * LOG2_E; }
    if (k0 + BN > min(start + 1u, last)) {
      for (var i = 0u; i < TM; i++) {
        let limit = min(start + ty + i * TY, last - 1u);
        for (var j = 0u; j < TN / 4u; j++) {
          let k = k0 + (tx + j * TX) * 4u;
          let seen = vec4u(k, k + 1u, k + 2u, k + 3u) <= vec4u(limit);
          scores[i * (TN / 4u) + j] = select(vec4f(MASKED), scores[i * (TN / 4u) + j], seen);
        }
      }
    }
    for (var i = 0u; i < TM; i++) {
      var most = scores[i * (TN / 4u)];
      for (var j = 1u; j < TN / 4u; j++) { most = max(most, scores[i * (TN / 4u) + j]); }
      let largest = max(max(most.x, most.y), max(most.z, most.w));
      if (largest > top[i] + SLACK) { atomicMax(&row_top[ty + i * TY], ordered(largest)); }
    }
    workgroupBarrier();
    for (var i = 0u; i < TM; i++) {
      let reference = unordered(atomicLoad(&row_top[ty + i * TY]));
      if (reference > top[i]) {
        let shrink = exp2(top[i] - reference);
        for (var j = 0u; j < COLS; j++) { acc[i * COLS + j] *= shrink; }
        sum[i] *= shrink;
        top[i] = reference;
      }
      for (var j = 0u; j < TN / 4u; j++) {
        let e = exp2(scores[i * (TN / 4u) + j] - reference);
        scores[i * (TN / 4u) + j] = e;
        sum[i] += (e.x + e.y) + (e.z + e.w);
      }
    }
    put_weights(&scores, W_AT, tx, ty);
    for (var k = 0u; k < BN; k += WIDE_ROWS) {
      if (k > 0u) { workgroupBarrier(); }
      if (PREFETCH == 1u) {
        put_wide(&next, B_AT, thread);
      } else {
        stage_qkv_wide(B_AT, k0 + k, last, v_column(kv_head), thread);
      }
      workgroupBarrier();
      if (PREFETCH == 1u) {
        if (k + WIDE_ROWS < BN) {
          fetch_qkv_wide(&next, k0 + k + WIDE_ROWS, last, v_column(kv_head), thread);
        } else {
          let own_next = step + 1u >= prefix_steps;
          let k_next = select(tile.prefix_start + (step + 1u) * BN, own_first + (step + 1u - prefix_steps) * BN, own_next);
          fetch_qkv_b(&next, k_next, select(tile.prefix_end, end, own_next), k_column(kv_head), thread);
        }
      }
      multiply_wide(&acc, W_AT, k, B_AT, tx, ty);
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < TM; i++) { memory[W_AT + (ty + i * TY) * TX + tx] = vec4f(sum[i]); }
  workgroupBarrier();
  for (var i = 0u; i < TM; i++) {
    let row = ty + i * TY;
    var total = 0.0;
    for (var j = 0u; j < TX; j++) { total += memory[W_AT + row * TX + j].x; }
    if (start + row >= end) { continue; }
    let at = (start + row) * p.heads + head;
    if (tx == 0u) { lse[at] = (top[i] + log2(total)) / LOG2_E; }
    for (var j = 0u; j < COLS; j++) {
      let column = tx + j * TX;
      if (column < WIDE) { out[at * WIDE + column] = acc[i * COLS + j] / total; }
    }
  }
}
