// attention_backward_kv.wgsl on matrix units: f16 operands, sums in f32. Rows are keys here, columns queries; of a pair of subgroups
// the first makes scores and dV, the second V dOutᵀ and dK. The gradients of all queries that are walked are brought into f16's
// range by one power of two.
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
//#include attention_matrix
//#include attention_matrix_gradient

// The largest gradient comes to [128, 256). dS, a product with values, takes 2^-2 of it, weights, at most 1, 2^14 more.
const EXPONENT = 7;
const LESS = 0.25;
const MORE_BITS = 14.0;

// Queries, then gradients of the output.
var<workgroup> walked: array<vec2u, 2u * B_SIZE>;
// Scores, then V dOutᵀ; their weights and dS.
var<workgroup> scores: array<vec4f, 2u * S_SIZE>;
var<workgroup> weights: array<vec2u, 2u * W_SIZE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = tiles[group.y / PARTS];
  let start = tile.start + group.y % PARTS * BM;
  if (start >= tile.start + tile.count) { return; }
  let end = min(start + BM, tile.start + tile.count);
  let last = tile.query_end;
  let kv_head = group.x;
  let share = p.heads / p.kv_heads;
  let ldq = p.ld / 4u;
  let k_column = (p.heads + kv_head) * HQ;
  let v_column = (p.heads + p.kv_heads + kv_head) * HQ;
  let head_steps = (last - start + BN - 1u) / BN;
  let steps = share * head_steps;

  let warp = thread / SUBGROUP;
  let lane = thread % SUBGROUP;
  let warp_m = warp / 2u * (16u * SR);
  let warp_n = warp % 2u;

  var top = 0.0;
  for (var i = thread; i < (last - start) * share; i += THREADS) {
    top = max(top, tops[(start + i / share) * p.heads + kv_head * share + i % share]);
  }
  top = subgroupMax(top);
  if (lane == 0u) { scores[warp] = vec4f(top); }
  workgroupBarrier();
  for (var i = 0u; i < WM * WN; i++) { top = max(top, scores[i].x); }
  let factor = factor_for(top, EXPONENT);

  // Keys and values, BN values of the head dimension at a time, on their way through the weights' memory.
  //#repeat g CHUNKS
  //#repeat s A_LOADS
  {
    let i = thread + $su * THREADS;
    let source = min(start + i / BQ, end - 1u) * ldq + $gu * BQ + i % BQ;
    let k = qkv[source + k_column];
    let v = qkv[source + v_column];
    let to = i / BQ * W_STRIDE + i % BQ;
    weights[to] = halves(k);
    weights[W_SIZE + to] = halves(v);
  }
  //#end
  workgroupBarrier();
  //#repeat k W_STEPS
  //#repeat i SR
  let a$i_$g_$k = subgroupMatrixLoad<Left, row_major>(&weights, warp_n * W_SIZE + (warp_m + 16u * $iu) * W_STRIDE + 4u * $ku, W_STRIDE);
  //#end
  //#end
  workgroupBarrier();
  //#end

  let query_scale = p.scale * LOG2_E;
  //#repeat s B_LOADS
  let i$s = thread + $su * THREADS;
  let to$s = i$s / HQ * B_STRIDE + i$s % HQ;
  {
    let row = min(start + i$s / HQ, last - 1u);
    let q = query_scale * qkv[row * ldq + kv_head * share * HQ + i$s % HQ];
    let d = factor * d_out[(row * p.heads + kv_head * share) * HQ + i$s % HQ];
    walked[to$s] = halves(q);
    walked[B_SIZE + to$s] = halves(d);
  }
  //#end
  workgroupBarrier();

  //#repeat i SR
  //#repeat g OUT_CHUNKS
  //#repeat j OUT_BLOCKS
  var o$i_$g_$j: Result;
  //#end
  //#end
  //#end
  //#repeat i LANE_STEPS
  let row$i = warp * OWN_ROWS + lane / LANES + $iu * LANE_ROWS;
  //#end

  // A block that is declared in a loop is not zero there the second time.
  var zero: Result;
  for (var step = 0u; step < steps; step++) {
    let head = kv_head * share + step / head_steps;
    let q0 = start + step % head_steps * BN;
    let next = min(step + 1u, steps - 1u);
    let head_next = kv_head * share + next / head_steps;
    let q_next = start + next % head_steps * BN;
    // The next queries and gradients, on their way while the scores are made.
    //#repeat s B_LOADS
    let from$s = min(q_next + i$s / HQ, last - 1u);
    let next_q$s = qkv[from$s * ldq + head_next * HQ + i$s % HQ];
    let next_d$s = d_out[(from$s * p.heads + head_next) * HQ + i$s % HQ];
    //#end
    //#repeat j COLUMNS
    let query$j = q0 + 4u * (lane % LANES + $ju * LANES) + vec4u(0u, 1u, 2u, 3u);
    let at$j = min(query$j, vec4u(last - 1u)) * p.heads + vec4u(head);
    let lse$j = LOG2_E * vec4f(lse[at$j.x], lse[at$j.y], lse[at$j.z], lse[at$j.w]);
    let delta$j = factor * vec4f(delta[at$j.x], delta[at$j.y], delta[at$j.z], delta[at$j.w]);
    //#end
    {
      //#repeat i SR
      //#repeat j S_BLOCKS
      var s$i_$j = zero;
      //#end
      //#end
      //#repeat g CHUNKS
      //#repeat k W_STEPS
      //#repeat j S_BLOCKS
      let b$g_$k_$j = subgroupMatrixLoad<Right, col_major>(&walked, warp_n * B_SIZE + 16u * $ju * B_STRIDE + $gu * BQ + 4u * $ku, B_STRIDE);
      //#repeat i SR
      s$i_$j = subgroupMatrixMultiplyAccumulate(a$i_$g_$k, b$g_$k_$j, s$i_$j);
      //#end
      //#end
      //#end
      //#end
      //#repeat i SR
      //#repeat j S_BLOCKS
      subgroupMatrixStore<row_major>(&scores, warp_n * S_SIZE + (warp_m + 16u * $iu) * S_STRIDE + 4u * $ju, s$i_$j, S_STRIDE);
      //#end
      //#end
    }
    workgroupBarrier();
    let masked = q0 < end - 1u || q0 + BN > last;
    //#repeat i LANE_STEPS
    //#repeat j COLUMNS
    {
      let s = scores[row$i * S_STRIDE + lane % LANES + $ju * LANES];
      let d = scores[S_SIZE + row$i * S_STRIDE + lane % LANES + $ju * LANES];
      var e = exp2(min(s - lse$j, vec4f()) + MORE_BITS);
      if (masked) { e = select(vec4f(), e, (query$j >= vec4u(start + row$i)) & (query$j < vec4u(last))); }
      let ds = clamp(e * (LESS * exp2(-MORE_BITS)) * (d - delta$j), vec4f(-LARGEST), vec4f(LARGEST));
      weights[row$i * W_STRIDE + lane % LANES + $ju * LANES] = halves(e);
      weights[W_SIZE + row$i * W_STRIDE + lane % LANES + $ju * LANES] = halves(ds);
    }
    //#end
    //#end
    workgroupBarrier();
    let other = (1u - warp_n) * B_SIZE;
    //#repeat k W_STEPS
    //#repeat i SR
    let w$i_$k = subgroupMatrixLoad<Left, row_major>(&weights, warp_n * W_SIZE + (warp_m + 16u * $iu) * W_STRIDE + 4u * $ku, W_STRIDE);
    //#end
    //#repeat g OUT_CHUNKS
    //#repeat j OUT_BLOCKS
    let r$k_$g_$j = subgroupMatrixLoad<Right, row_major>(&walked, other + 16u * $ku * B_STRIDE + $gu * BQ + 4u * $ju, B_STRIDE);
    //#repeat i SR
    o$i_$g_$j = subgroupMatrixMultiplyAccumulate(w$i_$k, r$k_$g_$j, o$i_$g_$j);
    //#end
    //#end
    //#end
    //#end
    workgroupBarrier();
    //#repeat s B_LOADS
    walked[to$s] = halves(query_scale * next_q$s);
    walked[B_SIZE + to$s] = halves(factor * next_d$s);
    //#end
    workgroupBarrier();
  }

  // dV lacks what weights and gradients were scaled by, dK what dS and queries were.
  let factor_v = exp2(-MORE_BITS) / factor;
  let factor_k = 1.0 / (LESS * LOG2_E * factor);
  //#repeat g OUT_CHUNKS
  //#repeat i SR
  //#repeat j OUT_BLOCKS
  subgroupMatrixStore<row_major>(&scores, warp_n * S_SIZE + (warp_m + 16u * $iu) * S_STRIDE + 4u * $ju, o$i_$g_$j, S_STRIDE);
  //#end
  //#end
  workgroupBarrier();
  //#repeat i LANE_STEPS
  if (start + row$i < end) {
    let to = (start + row$i) * ldq + $gu * BQ + lane % LANES;
    //#repeat j OUT_COLUMNS
    d_qkv[to + v_column + $ju * LANES] = factor_v * scores[row$i * S_STRIDE + lane % LANES + $ju * LANES];
    d_qkv[to + k_column + $ju * LANES] = factor_k * scores[S_SIZE + row$i * S_STRIDE + lane % LANES + $ju * LANES];
    //#end
  }
  //#end
  workgroupBarrier();
  //#end
}
