// dK and dV of attention.wgsl. With P = exp(score - lse) and dS = P (dOut Vᵀ - delta), summed over the queries that see
// a key and over the query heads that share it:  dV = Pᵀ dOut,  dK = scale dSᵀ Q.
// One workgroup makes one tile of keys of one key-value head; rows are keys here, columns queries.
//#include attention_tile
//#include attention_gradient

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = tiles[group.x];
  let kv_head = group.y;
  let share = p.heads / p.kv_heads;
  let end = tile.start + tile.count;
  let tx = thread_x(thread);
  let ty = thread_y(thread);
  var d_k = Wide();
  var d_v = Wide();
  for (var head = kv_head * share; head < (kv_head + 1u) * share; head++) {
    for (var q0 = tile.start; q0 < tile.query_end; q0 += TILE) {
      var scores = Accumulators();
      var d_p = Accumulators();
      for (var d = 0u; d < WIDE; d += DK / 4u) {
        stage_qkv_a(tile.start, end, k_column(kv_head) + d, thread);
        stage_qkv_b(q0, tile.query_end, q_column(head) + d, thread);
        workgroupBarrier();
        accumulate(&scores, tx, ty, 0u, BK / GROUP);
        workgroupBarrier();
        stage_qkv_a(tile.start, end, v_column(kv_head) + d, thread);
        stage_d_out_b(q0, tile.query_end, q_column(head) + d, thread);
        workgroupBarrier();
        accumulate(&d_p, tx, ty, 0u, BK / GROUP);
        workgroupBarrier();
      }
      for (var c = 0u; c < 4u; c++) {
        let q = q0 + tx * 4u + c;
        let row = min(q, tile.query_end - 1u) * p.heads + head;
        for (var r = 0u; r < TM; r++) {
          let k = tile.start + own_row(ty, r);
          let seen = q < tile.query_end && k < end && k <= q;
          let e = select(0.0, exp(min(scores[r][c] * p.scale - lse[row], 0.0)), seen);
          scores[r][c] = e;
          d_p[r][c] = p.scale * e * (d_p[r][c] - delta[row]);
        }
      }
      store_block(&scores, tx, ty);
      workgroupBarrier();
      for (var q = 0u; q < TILE; q += WIDE_ROWS) {
        for (var i = thread; i < WIDE_ROWS * WIDE; i += THREADS) {
          wide_tile[i] = load_d_out(q0 + q + i / WIDE, tile.query_end, q_column(head) + i % WIDE);
        }
        workgroupBarrier();
        accumulate_wide(&d_v, q, tx, ty);
        workgroupBarrier();
      }
      store_block(&d_p, tx, ty);
      workgroupBarrier();
      for (var q = 0u; q < TILE; q += WIDE_ROWS) {
        stage_wide_qkv(q0 + q, tile.query_end, q_column(head), thread);
        workgroupBarrier();
        accumulate_wide(&d_k, q, tx, ty);
        workgroupBarrier();
      }
    }
  }
  for (var r = 0u; r < TM; r++) {
    let row = own_row(ty, r);
    if (row >= tile.count) { continue; }
    let at = (tile.start + row) * (p.ld / 4u);
    for (var j = 0u; j < COLS; j++) {
      let column = tx + j * TX;
      if (column < WIDE) {
        d_qkv[at + k_column(kv_head) + column] = d_k[r * COLS + j];
        d_qkv[at + v_column(kv_head) + column] = d_v[r * COLS + j];
      }
    }
  }
}
