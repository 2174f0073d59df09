// dQ of attention.wgsl. With P = exp(score - lse) and dS = P (dOut Vᵀ - delta):  dQ = scale dS K.
//#include attention_tile
//#include attention_gradient

fn load_a(h: u32, head: u32, row: u32, end: u32, column: u32) -> vec4f {
  if (h == 0u) { return load_qkv(row, end, q_column(head) + column); }
  return load_d_out(row, end, q_column(head) + column);
}
fn load_b(h: u32, head: u32, row: u32, end: u32, column: u32) -> vec4f {
  return load_qkv(row, end, select(v_column(head), k_column(head), h == 0u) + column);
}
fn load_walked(h: u32, head: u32, row: u32, end: u32, column: u32) -> vec4f {
  return load_qkv(row, end, k_column(head) + column);
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  //#include attention_thread
  //#include attention_query
  var row_lse: array<f32, TM>;
  var row_delta: array<f32, TM>;
  for (var i = 0u; i < TM; i++) {
    let row = row0 + i * LANES_Y;
    let at = min(start + row % TOKENS, end - 1u) * p.heads + head + row / TOKENS;
    row_lse[i] = lse[at] * LOG2_E;
    row_delta[i] = delta[at];
  }
  let factor = p.scale * LOG2_E;
  var wide0 = Wide();
  for (var step = 0u; step < steps; step++) {
    //#include attention_keys
    //#include attention_scores
    let whole = walk + BN <= min(start + 1u, last) && end - start == TOKENS;
    for (var i = 0u; i < TM; i++) {
      let q = start + (row0 + i * LANES_Y) % TOKENS;
      let limit = select(q, last - 1u, last <= q);
      for (var j = 0u; j < TN / 4u; j++) {
        let at = i * (TN / 4u) + j;
        let e = exp2(min(scores0[at] * factor - row_lse[i], vec4f()));
        scores0[at] = e * (scores1[at] - row_delta[i]);
        if (!whole) {
          let k = walk + (quad0 + j * LANES_X) * 4u;
          let seen = vec4u(k, k + 1u, k + 2u, k + 3u) <= vec4u(limit);
          scores0[at] = select(vec4f(), scores0[at], seen);
        }
      }
    }
    //#include attention_wide
  }
  for (var i = 0u; i < TM; i++) {
    let row = row0 + i * LANES_Y;
    let token = start + row % TOKENS;
    if (token >= end) { continue; }
    let at = token * (p.ld / 4u) + q_column(head + row / TOKENS);
    for (var j = 0u; j < COLS; j++) {
      let column = tx + j * TX;
      if (column < WIDE) { d_qkv[at + column] = p.scale * wide0[i * COLS + j]; }
    }
  }
}
