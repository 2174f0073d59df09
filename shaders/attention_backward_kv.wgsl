// dK and dV of attention.wgsl. With P = exp(score - lse) and dS = P (dOut Vᵀ - delta), summed over the queries that see
// a key and over the query heads that share it:  dV = Pᵀ dOut,  dK = scale dSᵀ Q.
// One workgroup makes BM keys of one key-value head; rows are keys here, columns queries.
//#include attention_tile
//#include attention_gradient

// KEEP: keys and values stay for the whole walk; otherwise the weights take their place. BOTH: both products with the queries,
// and with their gradients, read one copy.
const V_AT = select(0u, CHUNKS * A_CHUNK, KEEP == 1u);
const A_SIZE = select(max(A_CHUNK, WEIGHTS), 2u * CHUNKS * A_CHUNK, KEEP == 1u);
const Q_AT = A_SIZE;
const D_OUT_AT = Q_AT + select(0u, CHUNKS * B_CHUNK, BOTH == 1u);
const B_SIZE = select(max(B_CHUNK, STAGED_ROWS), 2u * CHUNKS * B_CHUNK, BOTH == 1u);
const W_AT = select(0u, Q_AT + B_SIZE, KEEP == 1u);

var<workgroup> memory: array<vec4f, Q_AT + B_SIZE + select(0u, WEIGHTS, KEEP == 1u)>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = tiles[group.y / PARTS];
  let kv_head = group.x;
  let share = p.heads / p.kv_heads;
  let start = tile.start + group.y % PARTS * BM;
  if (start >= tile.start + tile.count) { return; }
  let end = min(start + BM, tile.start + tile.count);
  let last = tile.query_end;
  let tx = thread_x(thread);
  let ty = thread_y(thread);
  if (KEEP == 1u) {
    for (var c = 0u; c < CHUNKS; c++) {
      stage_qkv_a(c % CHUNKS * A_CHUNK, start, end, k_column(kv_head) + c * DQ, thread);
      stage_qkv_a(V_AT + c % CHUNKS * A_CHUNK, start, end, v_column(kv_head) + c * DQ, thread);
    }
  }
  var d_k = Wide();
  var d_v = Wide();
  for (var head = kv_head * share; head < (kv_head + 1u) * share; head++) {
    for (var q0 = start; q0 < last; q0 += BN) {
      var query_lse: array<vec4f, TN / 4u>;
      var query_delta: array<vec4f, TN / 4u>;
      for (var j = 0u; j < TN / 4u; j++) {
        for (var n = 0u; n < 4u; n++) {
          let at = min(q0 + (tx + j * TX) * 4u + n, last - 1u) * p.heads + head;
          query_lse[j][n] = lse[at] * LOG2_E;
          query_delta[j][n] = delta[at];
        }
      }
      var scores = Scores();
      var d_p = Scores();
      for (var c = 0u; c < CHUNKS; c++) {
        let a_at = select(0u, c % CHUNKS * A_CHUNK, KEEP == 1u);
        let b_at = select(0u, c % CHUNKS * B_CHUNK, BOTH == 1u);
        if (c > 0u) { workgroupBarrier(); }
        if (KEEP == 0u) { stage_qkv_a(0u, start, end, k_column(kv_head) + c * DQ, thread); }
        stage_qkv_b(Q_AT + b_at, q0, last, q_column(head) + c * DQ, thread);
        if (BOTH == 1u) { stage_d_out_b(D_OUT_AT + b_at, q0, last, q_column(head) + c * DQ, thread); }
        workgroupBarrier();
        multiply(&scores, a_at, Q_AT + b_at, tx, ty);
        if (KEEP == 0u || BOTH == 0u) {
          workgroupBarrier();
          if (KEEP == 0u) { stage_qkv_a(0u, start, end, v_column(kv_head) + c * DQ, thread); }
          if (BOTH == 0u) { stage_d_out_b(D_OUT_AT, q0, last, q_column(head) + c * DQ, thread); }
          workgroupBarrier();
        }
        multiply(&d_p, V_AT + a_at, D_OUT_AT + b_at, tx, ty);
      }
      let whole = q0 + 1u >= end && q0 + BN <= last;
      for (var i = 0u; i < TM; i++) {
        let k = start + ty + i * TY;
        for (var j = 0u; j < TN / 4u; j++) {
          let at = i * (TN / 4u) + j;
          var e = exp2(min(scores[at] * (p.scale * LOG2_E) - query_lse[j], vec4f()));
          if (!whole) {
            let q = q0 + (tx + j * TX) * 4u;
            let queries = vec4u(q, q + 1u, q + 2u, q + 3u);
            e = select(vec4f(), e, (queries >= vec4u(k)) & (queries < vec4u(last)));
          }
          scores[at] = e;
          d_p[at] = p.scale * e * (d_p[at] - query_delta[j]);
        }
      }
      if (KEEP == 0u) { workgroupBarrier(); }
      put_weights(&scores, W_AT, tx, ty);
      if (BOTH == 1u) {
        workgroupBarrier();
        multiply_staged(&d_v, W_AT, D_OUT_AT, tx, ty);
      } else {
        for (var q = 0u; q < BN; q += WIDE_ROWS) {
          workgroupBarrier();
          stage_d_out_wide(Q_AT, q0 + q, last, q_column(head), thread);
          workgroupBarrier();
          multiply_wide(&d_v, W_AT, q, Q_AT, tx, ty);
        }
      }
      workgroupBarrier();
      put_weights(&d_p, W_AT, tx, ty);
      if (BOTH == 1u) {
        workgroupBarrier();
        multiply_staged(&d_k, W_AT, Q_AT, tx, ty);
      } else {
        for (var q = 0u; q < BN; q += WIDE_ROWS) {
          workgroupBarrier();
          stage_qkv_wide(Q_AT, q0 + q, last, q_column(head), thread);
          workgroupBarrier();
          multiply_wide(&d_k, W_AT, q, Q_AT, tx, ty);
        }
      }
      workgroupBarrier();
    }
  }
  for (var i = 0u; i < TM; i++) {
    let row = start + ty + i * TY;
    if (row >= end) { continue; }
    let at = row * (p.ld / 4u);
    for (var j = 0u; j < COLS; j++) {
      let column = tx + j * TX;
      if (column < WIDE) {
        d_qkv[at + k_column(kv_head) + column] = d_k[i * COLS + j];
        d_qkv[at + v_column(kv_head) + column] = d_v[i * COLS + j];
      }
    }
  }
}
