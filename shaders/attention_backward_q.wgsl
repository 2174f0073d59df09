// dQ of attention.wgsl. With P = exp(score - lse) and dS = P (dOut Vᵀ - delta):  dQ = scale dS K.
// One workgroup makes one tile of queries of one head.
//#include attention_tile
//#include attention_gradient

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = tiles[group.x];
  let head = group.y;
  let kv_head = head / (p.heads / p.kv_heads);
  let end = tile.start + tile.count;
  let tx = thread_x(thread);
  let ty = thread_y(thread);
  var acc = Wide();
  for (var segment = 0u; segment < 2u; segment++) {
    let first = select(tile.run_start, tile.prefix_start, segment == 0u);
    let last = select(end, tile.prefix_end, segment == 0u);
    for (var k0 = first; k0 < last; k0 += TILE) {
      var scores = Accumulators();
      var d_p = Accumulators();
      for (var d = 0u; d < WIDE; d += DK / 4u) {
        stage_qkv_a(tile.start, end, q_column(head) + d, thread);
        stage_qkv_b(k0, last, k_column(kv_head) + d, thread);
        workgroupBarrier();
        accumulate(&scores, tx, ty, 0u, BK / GROUP);
        workgroupBarrier();
        stage_d_out_a(tile.start, end, q_column(head) + d, thread);
        stage_qkv_b(k0, last, v_column(kv_head) + d, thread);
        workgroupBarrier();
        accumulate(&d_p, tx, ty, 0u, BK / GROUP);
        workgroupBarrier();
      }
      for (var r = 0u; r < TM; r++) {
        let q = tile.start + own_row(ty, r);
        let row = min(q, end - 1u) * p.heads + head;
        for (var c = 0u; c < 4u; c++) {
          let k = k0 + tx * 4u + c;
          let seen = q < end && k < last && (segment == 0u || k <= q);
          let e = exp(min(scores[r][c] * p.scale - lse[row], 0.0));
          scores[r][c] = select(0.0, p.scale * e * (d_p[r][c] - delta[row]), seen);
        }
      }
      store_block(&scores, tx, ty);
      workgroupBarrier();
      for (var k = 0u; k < TILE; k += WIDE_ROWS) {
        stage_wide_qkv(k0 + k, last, k_column(kv_head), thread);
        workgroupBarrier();
        accumulate_wide(&acc, k, tx, ty);
        workgroupBarrier();
      }
    }
  }
  for (var r = 0u; r < TM; r++) {
    let row = own_row(ty, r);
    if (row >= tile.count) { continue; }
    for (var j = 0u; j < COLS; j++) {
      let column = tx + j * TX;
      if (column < WIDE) {
        d_qkv[(tile.start + row) * (p.ld / 4u) + q_column(head) + column] = acc[r * COLS + j];
      }
    }
  }
}
