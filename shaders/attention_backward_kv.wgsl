// dK and dV of attention.wgsl. With P = exp(score - lse) and dS = P (dOut Vᵀ - delta), summed over the queries that see
// a key and over the query heads that share it:  dV = Pᵀ dOut,  dK = scale dSᵀ Q.
// Rows are keys of one key-value head here, columns queries.
//#include attention_tile
//#include attention_gradient

const QUERY_FETCHES = (2u * BN + THREADS - 1u) / THREADS;

// lse, in powers of two, and delta of the walked queries.
var<workgroup> of_query: array<f32, 2u * BN>;

fn load_a(h: u32, head: u32, row: u32, end: u32, column: u32) -> vec4f {
  return load_qkv(row, end, select(v_column(head), k_column(head), h == 0u) + column);
}
fn load_b(h: u32, head: u32, row: u32, end: u32, column: u32) -> vec4f {
  if (h == 0u) { return load_qkv(row, end, q_column(head) + column); }
  return load_d_out(row, end, q_column(head) + column);
}
fn load_walked(h: u32, head: u32, row: u32, end: u32, column: u32) -> vec4f {
  if (h == 0u) { return load_d_out(row, end, q_column(head) + column); }
  return load_qkv(row, end, q_column(head) + column);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  //#include attention_thread
  let tile = tiles[group.y / PARTS];
  let start = tile.start + group.y % PARTS * TOKENS;
  if (start >= tile.start + tile.count) { return; }
  let end = min(start + TOKENS, tile.start + tile.count);
  let last = tile.query_end;
  let a_head = group.x;
  let share = p.heads / p.kv_heads;
  // A head's queries in steps of BN, then the next head's.
  let walks = (last - start + BN - 1u) / BN;
  let steps = share * walks;
  let first_key = start + ty / LANES_Y * BLOCK_ROWS;
  let fetch_head = a_head * share;
  let fetch_walk = start;
  let fetch_last = last;
  //#include attention_begin
  let factor = p.scale * LOG2_E;
  // dV and dK.
  var wide0 = Wide();
  var wide1 = Wide();
  for (var step = 0u; step < steps; step++) {
    let walk = start + step % walks * BN;
    let b_head = a_head * share + step / walks;
    let walk_next = start + (step + 1u) % walks * BN;
    let head_next = min(a_head * share + (step + 1u) / walks, p.heads - 1u);
    let last_next = last;
    // The queries of this step that see keys of the thread's block are [near, far) of BN.
    let near = select(0u, first_key - walk, first_key > walk);
    let far = select(0u, min(BN, last - walk), first_key < end);
    let block = tx / LANES_X * BLOCK_COLUMNS;
    let rounds = select(0u, p.groups, block < far && block + BLOCK_COLUMNS > near);
    var query_next: array<f32, QUERY_FETCHES>;
    for (var l = 0u; l < QUERY_FETCHES; l++) {
      let i = thread + l * THREADS;
      let at = min(walk + i % BN, last - 1u) * p.heads + b_head;
      if (i < BN) { query_next[l] = lse[at] * LOG2_E; } else { query_next[l] = delta[at]; }
    }
    //#include attention_scores
    for (var l = 0u; l < QUERY_FETCHES; l++) {
      let i = thread + l * THREADS;
      if (2u * BN % THREADS == 0u || i < 2u * BN) { of_query[i % (2u * BN)] = query_next[l]; }
    }
    workgroupBarrier();
    let whole = walk + 1u >= end && walk + BN <= last;
    for (var j = 0u; j < TN / 4u; j++) {
      let n = (quad0 + j * LANES_X) * 4u;
      let queries = walk + n + vec4u(0u, 1u, 2u, 3u);
      let query_lse = vec4f(of_query[n], of_query[n + 1u], of_query[n + 2u], of_query[n + 3u]);
      let query_delta = vec4f(of_query[BN + n], of_query[BN + n + 1u], of_query[BN + n + 2u], of_query[BN + n + 3u]);
      for (var i = 0u; i < TM; i++) {
        let at = i * (TN / 4u) + j;
        var e = exp2(min(scores0[at] * factor - query_lse, vec4f()));
        if (!whole) {
          let k = start + row0 + i * LANES_Y;
          e = select(vec4f(), e, (queries >= vec4u(k)) & (queries < vec4u(last)));
        }
        scores0[at] = e;
        scores1[at] = e * (scores1[at] - query_delta);
      }
    }
    //#include attention_wide
  }
  for (var i = 0u; i < TM; i++) {
    let row = start + row0 + i * LANES_Y;
    if (row >= end) { continue; }
    let at = row * (p.ld / 4u);
    for (var j = 0u; j < COLS; j++) {
      let column = tx + j * TX;
      if (column < WIDE) {
        d_qkv[at + k_column(a_head) + column] = p.scale * wide1[i * COLS + j];
        d_qkv[at + v_column(a_head) + column] = wide0[i * COLS + j];
      }
    }
  }
}
