// attention.wgsl on matrix units: f16 operands, sums in f32.
//
// A row's weights are 2^(score - reference + 2), scores in powers of two. The reference is the largest score of the first keys; it rises
// to the largest one so far when that exceeds it by 2^13, and what was summed shrinks, through workgroup memory: hardly any tile does,
// after the first. f16 has 2^15 above 1 and 2^14 below before digits are lost.
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
//#include attention_matrix
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

const SLACK = 13.0;
const TOP_BITS = 2.0;

var<workgroup> k_tile: array<vec2u, B_SIZE>;
var<workgroup> v_tile: array<vec2u, B_SIZE>;
var<workgroup> scores: array<vec4f, S_SIZE>;
var<workgroup> weights: array<vec2u, W_SIZE>;
// For each subgroup, whether a reference of its rows rose in this step.
var<workgroup> risen: array<u32, WM * WN>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  //#include attention_matrix_queries
  let warp_m = warp / WN * (16u * SR);
  let warp_n = warp % WN;

  // Queries, BN values of the head dimension at a time, on their way through the weights' memory.
  let query_scale = p.scale * LOG2_E;
  //#repeat g CHUNKS
  //#repeat s A_LOADS
  {
    let i = thread + $su * THREADS;
    let row = i / BQ;
    let q = query_scale * qkv[min(start + row % TOKENS, end - 1u) * ldq + (head0 + row / TOKENS) * HQ + $gu * BQ + i % BQ];
    let to = i / BQ * W_STRIDE + i % BQ;
    weights[to] = halves(q);
  }
  //#end
  workgroupBarrier();
  //#repeat k W_STEPS
  //#repeat i SR
  let q$i_$g_$k = subgroupMatrixLoad<Left, row_major>(&weights, (warp_m + 16u * $iu) * W_STRIDE + 4u * $ku, W_STRIDE);
  //#end
  //#end
  workgroupBarrier();
  //#end

  let first_key = select(tile.prefix_start, own_first, prefix_steps == 0u);
  let first_last = select(tile.prefix_end, end, prefix_steps == 0u);
  //#repeat s B_LOADS
  let i$s = thread + $su * THREADS;
  let to$s = i$s / HQ * B_STRIDE + i$s % HQ;
  {
    let k = qkv[min(first_key + i$s / HQ, first_last - 1u) * ldq + k_column + i$s % HQ];
    k_tile[to$s] = halves(k);
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
  var reference$i = MASKED;
  var sum$i = 0.0;
  //#end

  // A block that is declared in a loop is not zero there the second time.
  var zero: Result;
  for (var step = 0u; step < steps; step++) {
    //#include attention_matrix_step
    // These values and the next keys, on their way while the scores are made.
    //#repeat s B_LOADS
    let next_v$s = qkv[min(k0 + i$s / HQ, last - 1u) * ldq + v_column + i$s % HQ];
    let next_k$s = qkv[min(k_next + i$s / HQ, last_next - 1u) * ldq + k_column + i$s % HQ];
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
      let b$g_$k_$j = subgroupMatrixLoad<Right, col_major>(&k_tile, (warp_n * (BN / WN) + 16u * $ju) * B_STRIDE + $gu * BQ + 4u * $ku, B_STRIDE);
      //#repeat i SR
      s$i_$j = subgroupMatrixMultiplyAccumulate(q$i_$g_$k, b$g_$k_$j, s$i_$j);
      //#end
      //#end
      //#end
      //#end
      //#repeat i SR
      //#repeat j S_BLOCKS
      subgroupMatrixStore<row_major>(&scores, (warp_m + 16u * $iu) * S_STRIDE + warp_n * (BQ / WN) + 4u * $ju, s$i_$j, S_STRIDE);
      //#end
      //#end
    }
    workgroupBarrier();
    //#repeat s B_LOADS
    v_tile[to$s] = halves(next_v$s);
    k_tile[to$s] = halves(next_k$s);
    //#end
    //#repeat i LANE_STEPS
    //#repeat j COLUMNS
    var e$i_$j = scores[row$i * S_STRIDE + lane % LANES + $ju * LANES];
    //#end
    //#end
    if (k0 + BN > min(start + 1u, last)) {
      let columns = 4u * (lane % LANES) + vec4u(0u, 1u, 2u, 3u);
      //#repeat i LANE_STEPS
      let limit$i = min(query$i, last - 1u);
      //#repeat j COLUMNS
      e$i_$j = select(vec4f(MASKED), e$i_$j, columns + vec4u(k0 + 4u * $ju * LANES) <= vec4u(limit$i));
      //#end
      //#end
    }
    var over = MASKED;
    //#repeat i LANE_STEPS
    var most4$i = e$i_0;
    //#repeat j COLUMNS
    most4$i = max(most4$i, e$i_$j);
    //#end
    var most$i = max(max(most4$i.x, most4$i.y), max(most4$i.z, most4$i.w));
    over = max(over, most$i - reference$i);
    var shrink$i = 1.0;
    //#end
    let rises = subgroupAny(over > SLACK);
    if (rises) {
      //#repeat i LANE_STEPS
      most$i = max(most$i, subgroupShuffleXor(most$i, 1u));
      most$i = max(most$i, subgroupShuffleXor(most$i, 2u));
      if (LANES == 8u) { most$i = max(most$i, subgroupShuffleXor(most$i, 4u)); }
      if (most$i - reference$i > SLACK) {
        shrink$i = exp2(reference$i - most$i);
        reference$i = most$i;
        sum$i *= shrink$i;
      }
      //#end
    }
    // In the first step there is nothing to shrink.
    if (lane == 0u) { risen[warp] = u32(rises && step > 0u); }
    //#repeat i LANE_STEPS
    //#repeat j COLUMNS
    e$i_$j = exp2(e$i_$j - reference$i + TOP_BITS);
    sum$i += (e$i_$j.x + e$i_$j.y) + (e$i_$j.z + e$i_$j.w);
    weights[row$i * W_STRIDE + lane % LANES + $ju * LANES] = halves(e$i_$j);
    //#end
    //#end
    let rising = workgroupUniformLoad(&risen);
    var shrinks = 0u;
    //#repeat w SUBGROUPS
    shrinks |= rising[$w];
    //#end
    if (shrinks != 0u) {
      //#repeat g OUT_CHUNKS
      //#repeat i SR
      //#repeat j OUT_BLOCKS
      subgroupMatrixStore<row_major>(&scores, (warp_m + 16u * $iu) * S_STRIDE + warp_n * (4u * OUT_BLOCKS) + 4u * $ju, o$i_$g_$j, S_STRIDE);
      //#end
      //#end
      workgroupBarrier();
      //#repeat i LANE_STEPS
      //#repeat j OUT_COLUMNS
      scores[row$i * S_STRIDE + lane % LANES + $ju * LANES] *= shrink$i;
      //#end
      //#end
      workgroupBarrier();
      //#repeat i SR
      //#repeat j OUT_BLOCKS
      o$i_$g_$j = subgroupMatrixLoad<Result, row_major>(&scores, (warp_m + 16u * $iu) * S_STRIDE + warp_n * (4u * OUT_BLOCKS) + 4u * $ju, S_STRIDE);
      //#end
      //#end
      workgroupBarrier();
      //#end
    }
    //#repeat k W_STEPS
    //#repeat i SR
    let w$i_$k = subgroupMatrixLoad<Left, row_major>(&weights, (warp_m + 16u * $iu) * W_STRIDE + 4u * $ku, W_STRIDE);
    //#end
    //#repeat g OUT_CHUNKS
    //#repeat j OUT_BLOCKS
    let r$k_$g_$j = subgroupMatrixLoad<Right, row_major>(&v_tile, 16u * $ku * B_STRIDE + warp_n * (HQ / WN) + $gu * (4u * OUT_BLOCKS) + 4u * $ju, B_STRIDE);
    //#repeat i SR
    o$i_$g_$j = subgroupMatrixMultiplyAccumulate(w$i_$k, r$k_$g_$j, o$i_$g_$j);
    //#end
    //#end
    //#end
    //#end
  }

  //#repeat i LANE_STEPS
  sum$i += subgroupShuffleXor(sum$i, 1u);
  sum$i += subgroupShuffleXor(sum$i, 2u);
  if (LANES == 8u) { sum$i += subgroupShuffleXor(sum$i, 4u); }
  let at$i = query$i * p.heads + head0 + row$i / TOKENS;
  let real$i = start + row$i % TOKENS < end;
  if (real$i && lane % LANES == 0u) { lse[at$i] = (reference$i - TOP_BITS + log2(sum$i)) / LOG2_E; }
  //#end
  //#repeat g OUT_CHUNKS
  //#repeat i SR
  //#repeat j OUT_BLOCKS
  subgroupMatrixStore<row_major>(&scores, (warp_m + 16u * $iu) * S_STRIDE + warp_n * (4u * OUT_BLOCKS) + 4u * $ju, o$i_$g_$j, S_STRIDE);
  //#end
  //#end
  workgroupBarrier();
  //#repeat i LANE_STEPS
  if (real$i) {
    //#repeat j OUT_COLUMNS
    {
      let column = lane % LANES + $ju * LANES;
      let value = scores[row$i * S_STRIDE + lane % LANES + $ju * LANES];
      out[at$i * HQ + column / (4u * OUT_BLOCKS) * (HQ / WN) + $gu * (4u * OUT_BLOCKS) + column % (4u * OUT_BLOCKS)] = value / sum$i;
    }
    //#end
  }
  //#end
  workgroupBarrier();
  //#end
}
