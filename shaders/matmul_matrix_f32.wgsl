// matmul.wgsl's products, but for its gradients, on matrix units that multiply blocks of 8 x 8 in f32, as Apple's GPUs have.
//
// A workgroup of WM x WN subgroups makes BM x BN results; a subgroup SM x SN blocks. While a tile is multiplied, the next one is on its
// way from memory into registers. K is a multiple of BK, N of 4, and alpha is 1 where there is a LoRA part, whose sums are more of
// the same loop. Results leave through workgroup memory, a row of blocks of each subgroup at a time.
//
// Indices into workgroup memory are written out in main(), for the reason that matmul_matrix.wgsl gives. Loads and stores of blocks are
// written as gpu/matrix-spelling.ts wants them.
diagnostic(off, chromium.subgroup_matrix_uniformity);
enable chromium_experimental_subgroup_matrix;
//#include product
//#include raw_weight

alias Left = subgroup_matrix_left<f32, 8, 8>;
alias Right = subgroup_matrix_right<f32, 8, 8>;
alias Result = subgroup_matrix_result<f32, 8, 8>;

const THREADS = SUBGROUP * WM * WN;
const BM = 8u * SM * WM;
const BN = 8u * SN * WN;
const KQ = BK / 4u;
// Four more values a row, so that the rows of a block begin in different banks.
const A_STRIDE = BK + 4u;
//#if B_ROWS_N
const B_STRIDE = BK + 4u;
const B_SIZE = BN * B_STRIDE;
//#else
const B_STRIDE = BN + 4u;
const B_SIZE = BK * B_STRIDE;
//#endif
const OUT_STRIDE = 8u * SN + 4u;
const OUT_SIZE = 8u * OUT_STRIDE;

var<workgroup> a_tile: array<f32, BM * A_STRIDE>;
var<workgroup> b_tile: array<f32, B_SIZE>;
var<workgroup> out_tile: array<f32, WM * WN * OUT_SIZE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let n0 = group.x * BN;
  let m0 = group.y * BM;
  let warp = thread / SUBGROUP;
  let lane = thread % SUBGROUP;
  let warp_m = warp / WN * (8u * SM);
  let warp_n = warp % WN * (8u * SN);
  let first = group.z * p.split_tiles;
  let all_tiles = p.K / BK;
  let main_tiles = min(all_tiles, first + p.split_tiles);
  //#if LORA
  let tiles = main_tiles + select(0u, (p.rank + BK - 1u) / BK, main_tiles == all_tiles);
  //#else
  let tiles = main_tiles;
  //#endif
  prepare_weights(thread);
  //#repeat i SM
  //#repeat j SN
  var c$i_$j: Result;
  //#end
  //#end
  // Items of four values: rows of A and their place along k; of B the same (B_ROWS_N), or k and the place along n.
  //#repeat s A_LOADS
  let i_a$s = thread + $su * THREADS;
  let m_a$s = min(m0 + i_a$s / KQ, p.M - 1u);
  let k_a$s = i_a$s % KQ * 4u;
  var next_a$s = x[(p.x_offset + m_a$s * p.ldx + first * BK + k_a$s) >> 2u];
  //#end
  //#repeat s B_LOADS
  let i_b$s = thread + $su * THREADS;
  //#if B_ROWS_N
  let n_b$s = min(n0 + i_b$s / KQ, p.N - 1u);
  let k_b$s = i_b$s % KQ * 4u;
  //#else
  let n_b$s = min(n0 + i_b$s % (BN / 4u) * 4u, p.N - 4u);
  let k_b$s = i_b$s / (BN / 4u);
  //#endif
  //#if B_ROWS_N
  let from_b$s = p.w_offset + n_b$s * p.ldw + k_b$s;
  var next_b$s = decode_weight4(fetch_weight4(from_b$s + first * BK));
  //#else
  let from_b$s = p.w_offset + k_b$s * p.ldw + n_b$s;
  var next_b$s = decode_weight4(fetch_weight4(from_b$s + first * BK * p.ldw));
  //#endif
  //#end
  for (var t = first; t < tiles; t++) {
    //#repeat s A_LOADS
    {
      let to = i_a$s / KQ * A_STRIDE + i_a$s % KQ * 4u;
      //#repeat q 4
      a_tile[to + $qu] = next_a$s[$q];
      //#end
    }
    //#end
    //#repeat s B_LOADS
    {
      //#if B_ROWS_N
      let to = i_b$s / KQ * B_STRIDE + i_b$s % KQ * 4u;
      //#else
      let to = i_b$s / (BN / 4u) * B_STRIDE + i_b$s % (BN / 4u) * 4u;
      //#endif
      //#repeat q 4
      b_tile[to + $qu] = next_b$s[$q];
      //#end
    }
    //#end
    workgroupBarrier();
    if (t + 1u < main_tiles) {
      //#repeat s A_LOADS
      next_a$s = x[(p.x_offset + m_a$s * p.ldx + (t + 1u) * BK + k_a$s) >> 2u];
      //#end
      //#repeat s B_LOADS
      //#if B_ROWS_N
      let raw_b$s = fetch_weight4(from_b$s + (t + 1u) * BK);
      //#else
      let raw_b$s = fetch_weight4(from_b$s + (t + 1u) * BK * p.ldw);
      //#endif
      next_b$s = decode_weight4(raw_b$s);
      //#end
    }
    //#if LORA
    else if (t + 1u < tiles) {
      let k0 = (t + 1u - main_tiles) * BK;
      //#repeat s A_LOADS
      let u$s = u[(p.u_offset + m_a$s * p.ldu + k0 + k_a$s) >> 2u];
      next_a$s = select(vec4f(), u$s, k0 + k_a$s < p.rank);
      //#end
      //#repeat s B_LOADS
      //#if B_ROWS_N
      let v$s = v[(p.v_offset + n_b$s * p.ldv + k0 + k_b$s) >> 2u];
      //#else
      let v$s = v[(p.v_offset + (k0 + k_b$s) * p.ldv + n_b$s) >> 2u];
      //#endif
      next_b$s = select(vec4f(), v$s, k0 + k_b$s < p.rank);
      //#end
    }
    //#endif
    //#repeat k K_STEPS
    //#repeat i SM
    let a$i_$k = subgroupMatrixLoad<Left, row_major>(&a_tile, (warp_m + 8u * $iu) * A_STRIDE + 8u * $ku, A_STRIDE);
    //#end
    //#repeat j SN
    //#if B_ROWS_N
    let b$j_$k = subgroupMatrixLoad<Right, col_major>(&b_tile, (warp_n + 8u * $ju) * B_STRIDE + 8u * $ku, B_STRIDE);
    //#else
    let b$j_$k = subgroupMatrixLoad<Right, row_major>(&b_tile, 8u * $ku * B_STRIDE + warp_n + 8u * $ju, B_STRIDE);
    //#endif
    //#repeat i SM
    c$i_$j = subgroupMatrixMultiplyAccumulate(a$i_$k, b$j_$k, c$i_$j);
    //#end
    //#end
    //#end
    workgroupBarrier();
  }
  //#repeat i SM
  //#repeat j SN
  subgroupMatrixStore<row_major>(&out_tile, warp * OUT_SIZE + 8u * $ju, c$i_$j, OUT_STRIDE);
  //#end
  workgroupBarrier();
  for (var i = lane; i < 16u * SN; i += SUBGROUP) {
    let row = i / (2u * SN);
    let column = i % (2u * SN) * 4u;
    let m = m0 + warp_m + 8u * $iu + row;
    let n = n0 + warp_n + column;
    let from4 = warp * OUT_SIZE + row * OUT_STRIDE + column;
    let sum = vec4f(out_tile[from4], out_tile[from4 + 1u], out_tile[from4 + 2u], out_tile[from4 + 3u]);
    if (m < p.M && n < p.N) { put_result(group.z, m, n, p.alpha * sum); }
  }
  workgroupBarrier();
  //#end
}

fn put_result(split: u32, m: u32, n: u32, sum: vec4f) {
  var value = sum;
  //#if COLUMN_SCALE
  value *= column_scale[(p.s_offset + n) >> 2u];
  //#endif
  //#if RESIDUAL
  value += residual[(p.r_offset + m * p.ldr + n) >> 2u];
  //#endif
  let at = (p.y_offset + split * p.y_split + m * p.ldy + n) >> 2u;
  if (p.accumulate != 0u) { value += y[at]; }
  y[at] = value;
}
