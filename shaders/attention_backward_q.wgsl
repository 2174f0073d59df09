// dQ of attention.wgsl. With P = exp(score - lse) and dS = P (dOut Vᵀ - delta):  dQ = scale dS K.
// One workgroup makes BM queries of one head.
//#include attention_tile
//#include attention_gradient

// KEEP: queries and their gradients stay for the whole walk. BOTH: both products with the keys read one copy of them,
// and the weights take the place of the values.
const A_SIZE = select(1u, 2u * CHUNKS, KEEP == 1u) * A_CHUNK;
const D_OUT_AT = select(0u, CHUNKS * A_CHUNK, KEEP == 1u);
const K_AT = A_SIZE;
const V_AT = K_AT + select(0u, CHUNKS * B_CHUNK, BOTH == 1u);
const W_AT = select(K_AT + max(B_CHUNK, STAGED_ROWS), V_AT, BOTH == 1u);
const MEMORY = W_AT + select(WEIGHTS, max(WEIGHTS, B_CHUNK), BOTH == 1u);

var<workgroup> memory: array<vec4f, MEMORY>;

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

  if (KEEP == 1u) {
    for (var c = 0u; c < CHUNKS; c++) {
      stage_qkv_a(c % CHUNKS * A_CHUNK, start, end, q_column(head) + c * DQ, thread);
      stage_d_out_a(D_OUT_AT + c % CHUNKS * A_CHUNK, start, end, q_column(head) + c * DQ, thread);
    }
  }
  var row_lse: array<f32, TM>;
  var row_delta: array<f32, TM>;
  for (var i = 0u; i < TM; i++) {
    let at = min(start + ty + i * TY, end - 1u) * p.heads + head;
    row_lse[i] = lse[at] * LOG2_E;
    row_delta[i] = delta[at];
  }
  var acc = Wide();
  for (var step = 0u; step < steps; step++) {
    let own = step >= prefix_steps;
    let k0 = select(tile.prefix_start + step * BN, own_first + (step - prefix_steps) * BN, own);
    let last = select(tile.prefix_end, end, own);
    var scores = Scores();
    var d_p = Scores();
    for (var c = 0u; c < CHUNKS; c++) {
      let a_at = select(0u, c % CHUNKS * A_CHUNK, KEEP == 1u);
      let k_at = K_AT + select(0u, c % CHUNKS * B_CHUNK, BOTH == 1u);
      if (c > 0u) { workgroupBarrier(); }
      if (KEEP == 0u) { stage_qkv_a(0u, start, end, q_column(head) + c * DQ, thread); }
      stage_qkv_b(k_at, k0, last, k_column(kv_head) + c * DQ, thread);
      if (BOTH == 1u) { stage_qkv_b(V_AT, k0, last, v_column(kv_head) + c * DQ, thread); }
      workgroupBarrier();
      multiply(&scores, a_at, k_at, tx, ty);
      if (KEEP == 0u || BOTH == 0u) {
        workgroupBarrier();
        if (KEEP == 0u) { stage_d_out_a(0u, start, end, q_column(head) + c * DQ, thread); }
        if (BOTH == 0u) { stage_qkv_b(V_AT, k0, last, v_column(kv_head) + c * DQ, thread); }
        workgroupBarrier();
      }
      multiply(&d_p, D_OUT_AT + a_at, V_AT, tx, ty);
    }
    let whole = k0 + BN <= min(start + 1u, last) && end - start == BM;
    for (var i = 0u; i < TM; i++) {
      let q = start + ty + i * TY;
      let limit = select(q, last - 1u, last <= q);
      for (var j = 0u; j < TN / 4u; j++) {
        let at = i * (TN / 4u) + j;
        let e = exp2(min(scores[at] * (p.scale * LOG2_E) - row_lse[i], vec4f()));
        scores[at] = p.scale * e * (d_p[at] - row_delta[i]);
        if (!whole) {
          let k = k0 + (tx + j * TX) * 4u;
          let seen = vec4u(k, k + 1u, k + 2u, k + 3u) <= vec4u(limit);
          scores[at] = select(vec4f(), scores[at], seen);
        }
      }
    }
    if (BOTH == 1u) { workgroupBarrier(); }
    put_weights(&scores, W_AT, tx, ty);
    if (BOTH == 1u) {
      workgroupBarrier();
      multiply_staged(&acc, W_AT, K_AT, tx, ty);
    } else {
      for (var k = 0u; k < BN; k += WIDE_ROWS) {
        workgroupBarrier();
        stage_qkv_wide(K_AT, k0 + k, last, k_column(kv_head), thread);
        workgroupBarrier();
        multiply_wide(&acc, W_AT, k, K_AT, tx, ty);
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < TM; i++) {
    let row = start + ty + i * TY;
    if (row >= end) { continue; }
    for (var j = 0u; j < COLS; j++) {
      let column = tx + j * TX;
      if (column < WIDE) { d_qkv[row * (p.ld / 4u) + q_column(head) + column] = acc[i * COLS + j]; }
    }
  }
}
