// attention_backward_q.wgsl on matrix units: f16 operands, sums in f32. A row's gradient is brought into f16's range by a power of two.
diagnostic(off, chromium.subgroup_matrix_uniformity);
enable f16;
enable chromium_experimental_subgroup_matrix;
//#include attention_matrix
//#include attention_matrix_gradient

// Of a row's gradient the largest value comes to [32, 64): dS, a product with values, stays far below 2^16.
const EXPONENT = 5;

// Two copies of the keys, as the last ones are in use until the next scores are there.
var<workgroup> k_tile: array<vec2u, 2u * B_SIZE>;
var<workgroup> v_tile: array<vec2u, B_SIZE>;
// Scores and dOut Vᵀ.
var<workgroup> scores: array<vec4f, 2u * S_SIZE>;
var<workgroup> weights: array<vec2u, W_SIZE>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  //#include attention_matrix_queries
  let warp_m = warp / 2u * (16u * SR);
  let warp_n = warp % 2u;

  // Queries and gradients, BN values of the head dimension at a time, on their way through the weights' memory.
  let query_scale = p.scale * LOG2_E;
  //#repeat i SR
  //#repeat g CHUNKS
  //#repeat k W_STEPS
  var a$i_$g_$k: Left;
  //#end
  //#end
  //#end
  //#repeat g CHUNKS
  //#repeat h 2
  //#repeat s A_LOADS
  {
    let i = thread + $su * THREADS;
    let row = i / BQ;
    let token = min(start + row % TOKENS, end - 1u);
    let head = head0 + row / TOKENS;
    var x: vec4f;
    if ($hu == 0u) {
      x = query_scale * qkv[token * ldq + head * HQ + $gu * BQ + i % BQ];
    } else {
      x = factor_for(tops[token * p.heads + head], EXPONENT) * d_out[(token * p.heads + head) * HQ + $gu * BQ + i % BQ];
    }
    let to = i / BQ * W_STRIDE + i % BQ;
    weights[to] = halves(x);
  }
  //#end
  workgroupBarrier();
  if (warp_n == $hu) {
    //#repeat k W_STEPS
    //#repeat i SR
    a$i_$g_$k = subgroupMatrixLoad<Left, row_major>(&weights, (warp_m + 16u * $iu) * W_STRIDE + 4u * $ku, W_STRIDE);
    //#end
    //#end
  }
  workgroupBarrier();
  //#end
  //#end

  let first_key = select(tile.prefix_start, own_first, prefix_steps == 0u);
  let first_last = select(tile.prefix_end, end, prefix_steps == 0u);
  //#repeat s B_LOADS
  let i$s = thread + $su * THREADS;
  let to$s = i$s / HQ * B_STRIDE + i$s % HQ;
  {
    let source = min(first_key + i$s / HQ, first_last - 1u) * ldq + i$s % HQ;
    let k = qkv[source + k_column];
    let v = qkv[source + v_column];
    k_tile[to$s] = halves(k);
    v_tile[to$s] = halves(v);
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
  let query$i = min(start + row$i % TOKENS, end - 1u);
  let at$i = query$i * p.heads + head0 + row$i / TOKENS;
  let lse$i = lse[at$i] * LOG2_E;
  let factor$i = factor_for(tops[at$i], EXPONENT);
  let delta$i = delta[at$i] * factor$i;
  //#end

  // A block that is declared in a loop is not zero there the second time.
  var zero: Result;
  for (var step = 0u; step < steps; step++) {
    //#include attention_matrix_step
    let now = step % 2u * B_SIZE;
    let then = (step + 1u) % 2u * B_SIZE;
    // The next keys and values, on their way while the scores are made.
    //#repeat s B_LOADS
    let from$s = min(k_next + i$s / HQ, last_next - 1u) * ldq + i$s % HQ;
    let next_k$s = qkv[from$s + k_column];
    let next_v$s = qkv[from$s + v_column];
    //#end
    {
      //#repeat i SR
      //#repeat j S_BLOCKS
      var s$i_$j = zero;
      //#end
      //#end
      if (warp_n == 0u) {
        //#repeat g CHUNKS
        //#repeat k W_STEPS
        //#repeat j S_BLOCKS
        let b$g_$k_$j = subgroupMatrixLoad<Right, col_major>(&k_tile, now + 16u * $ju * B_STRIDE + $gu * BQ + 4u * $ku, B_STRIDE);
        //#repeat i SR
        s$i_$j = subgroupMatrixMultiplyAccumulate(a$i_$g_$k, b$g_$k_$j, s$i_$j);
        //#end
        //#end
        //#end
        //#end
      } else {
        //#repeat g CHUNKS
        //#repeat k W_STEPS
        //#repeat j S_BLOCKS
        let b$g_$k_$j = subgroupMatrixLoad<Right, col_major>(&v_tile, 16u * $ju * B_STRIDE + $gu * BQ + 4u * $ku, B_STRIDE);
        //#repeat i SR
        s$i_$j = subgroupMatrixMultiplyAccumulate(a$i_$g_$k, b$g_$k_$j, s$i_$j);
        //#end
        //#end
        //#end
        //#end
      }
      //#repeat i SR
      //#repeat j S_BLOCKS
      subgroupMatrixStore<row_major>(&scores, warp_n * S_SIZE + (warp_m + 16u * $iu) * S_STRIDE + 4u * $ju, s$i_$j, S_STRIDE);
      //#end
      //#end
    }
    workgroupBarrier();
    //#repeat s B_LOADS
    v_tile[to$s] = halves(next_v$s);
    k_tile[then + to$s] = halves(next_k$s);
    //#end
    let masked = k0 + BN > min(start + 1u, last);
    //#repeat i LANE_STEPS
    let limit$i = min(query$i, last - 1u);
    //#repeat j COLUMNS
    {
      let columns = 4u * (lane % LANES + $ju * LANES) + vec4u(0u, 1u, 2u, 3u);
      let s = scores[row$i * S_STRIDE + lane % LANES + $ju * LANES];
      let d = scores[S_SIZE + row$i * S_STRIDE + lane % LANES + $ju * LANES];
      var e = clamp(exp2(min(s - lse$i, vec4f())) * (d - delta$i), vec4f(-LARGEST), vec4f(LARGEST));
      if (masked) { e = select(vec4f(), e, columns + vec4u(k0) <= vec4u(limit$i)); }
      weights[row$i * W_STRIDE + lane % LANES + $ju * LANES] = halves(e);
    }
    //#end
    //#end
    workgroupBarrier();
    //#repeat k W_STEPS
    //#repeat i SR
    let w$i_$k = subgroupMatrixLoad<Left, row_major>(&weights, (warp_m + 16u * $iu) * W_STRIDE + 4u * $ku, W_STRIDE);
    //#end
    //#repeat g OUT_CHUNKS
    //#repeat j OUT_BLOCKS
    let r$k_$g_$j = subgroupMatrixLoad<Right, row_major>(&k_tile, now + 16u * $ku * B_STRIDE + warp_n * (HQ / 2u) + $gu * (4u * OUT_BLOCKS) + 4u * $ju, B_STRIDE);
    //#repeat i SR
    o$i_$g_$j = subgroupMatrixMultiplyAccumulate(w$i_$k, r$k_$g_$j, o$i_$g_$j);
    //#end
    //#end
    //#end
    //#end
  }

  //#repeat g OUT_CHUNKS
  //#repeat i SR
  //#repeat j OUT_BLOCKS
  subgroupMatrixStore<row_major>(&scores, warp_n * S_SIZE + (warp_m + 16u * $iu) * S_STRIDE + 4u * $ju, o$i_$g_$j, S_STRIDE);
  //#end
  //#end
  workgroupBarrier();
  //#repeat i LANE_STEPS
  if (start + row$i % TOKENS < end) {
    let factor = p.scale / factor$i;
    let to = query$i * ldq + (head0 + row$i / TOKENS) * HQ + $gu * (4u * OUT_BLOCKS);
    //#repeat h 2
    //#repeat j OUT_COLUMNS
    if (lane % LANES + $ju * LANES < 4u * OUT_BLOCKS) {
      d_qkv[to + $hu * (HQ / 2u) + lane % LANES + $ju * LANES] = factor * scores[$hu * S_SIZE + row$i * S_STRIDE + lane % LANES + $ju * LANES];
    }
    //#end
    //#end
  }
  //#end
  workgroupBarrier();
  //#end
}
