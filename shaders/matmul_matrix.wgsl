// Products of f16 operands on matrix units, added up in f32: Y = alpha * A B (+ U V, the LoRA part), all of that times a
// factor for each column (COLUMN_SCALE, DoRA), (+ residual) (+ Y), as matmul.wgsl.
//
//   forward   X Wᵀ   A(m,k) = x[m,k]   B(k,n) = w[n,k]   (B_ROWS_N)
//   backward  dY W   A(m,k) = x[m,k]   B(k,n) = w[k,n]
//
// x and w are f16 in tiles of 128 rows and 32 columns (half_rows.wgsl, expand_weight.wgsl): what a workgroup needs next lies together, and
// the place inside a tile needs no clamp. Row m of A comes with factors[m / 16]. The LoRA part comes after
// the main loop, from f32: U is scaled like x, and 2^8 goes from U to V, whose values are small at first.
//
// A workgroup of WM x WN subgroups makes BM x BN results; a subgroup SM x SN_PAIRS * 2 blocks of 16 x 16. While a tile is multiplied, the
// next one is on its way from memory into registers. With several workgroups along z each takes `split_tiles` tiles of K.
// A block's results go from the units to memory; Y (ACCUMULATE) or the residual is where their sums begin. Those of a block on an edge,
// or of all (STAGED: a factor for each column, or both additions), pass through workgroup memory, at half the speed. Tiles of the last
// rows come first, so that others hide what takes them longer.
//
// Every index into workgroup memory is written out here, from local_invocation_index and constants: only then does the
// WGSL compiler see that it is in range, and leaves its clamp out (138 and 208 TFLOP/s on an H100).
// VECTORS: workgroup memory is made of words of eight values, as the newer spelling allows. Loads and stores of blocks are written in
// that one, one call a line, as gpu/matrix-spelling.ts wants them.
diagnostic(off, chromium.subgroup_matrix_uniformity);
enable f16;
enable chromium_experimental_subgroup_matrix;
//#include product
// As if they were written, x and w: a driver may put off a load of what is only read, NVIDIA's does, and the early ones would come late
// (230 and 276 TFLOP/s on an H100).
@group(0) @binding(2) var<storage, read_write> w: array<array<vec4u, 512>>;
@group(0) @binding(9) var<storage, read> factors: array<f32>;

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Result = subgroup_matrix_result<f32, 16, 16>;

const THREADS = SUBGROUP * WM * WN;
const BM = 16u * SM * WM;
const BN = 32u * SN_PAIRS * WN;
// Parts of a tile of 128 rows.
const PARTS_M = 128u / BM;
const PARTS_N = 128u / BN;
// Eight more values a row, so that the rows of a block begin in different banks.
const A_STRIDE = BK + 8u;
//#if B_ROWS_N
const B_STRIDE = BK + 8u;
const B_SIZE = BN * B_STRIDE;
//#else
const B_STRIDE = BN + 8u;
const B_SIZE = BK * B_STRIDE;
//#endif
//#if VECTORS
// Values of an element of a tile.
const UNIT = 8u;
alias Unit = vec4u;
//#else
const UNIT = 1u;
alias Unit = f16;
var<workgroup> out_tile: array<f32, WM * WN * OUT_SIZE>;
//#endif
// Results that leave through workgroup memory, a block of each subgroup at a time. Where the type of A's tile allows it, they
// use its place: a processor has room for fewer workgroups of more memory.
const OUT_STRIDE = 20u;
const OUT_SIZE = 16u * OUT_STRIDE;
var<workgroup> a_tile: array<Unit, BM * A_STRIDE / UNIT>;
var<workgroup> b_tile: array<Unit, B_SIZE / UNIT>;

//#if LORA
fn pack8(a: vec4f, b: vec4f) -> vec4u {
  return vec4u(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
}

// Beyond f16's range is its largest value, not infinity.
fn within(value: vec4f) -> vec4f { return clamp(value, vec4f(-65504.0), vec4f(65504.0)); }

fn load_u(m: u32, k: u32, u_column: u32) -> vec4u {
  let row = min(m, p.M - 1u);
  let at = p.u_offset + row * p.ldu + u_column + k;
  let factor = 1.0 / (256.0 * factors[row / 16u]);
  let low = select(vec4f(), u[at >> 2u] * factor, k < p.rank);
  let high = select(vec4f(), u[(at + 4u) >> 2u] * factor, k + 4u < p.rank);
  return pack8(within(low), within(high));
}

// Eight values of V from (n, k) on: along k forward, along n backward.
fn load_v(n: u32, k: u32) -> vec4u {
  //#if B_ROWS_N
  let at = p.v_offset + min(n, p.N - 1u) * p.ldv + k;
  let low = select(vec4f(), 256.0 * v[at >> 2u], k < p.rank);
  let high = select(vec4f(), 256.0 * v[(at + 4u) >> 2u], k + 4u < p.rank);
  //#else
  let at = p.v_offset + k * p.ldv + n;
  let low = select(vec4f(), 256.0 * v[at >> 2u], k < p.rank);
  let high = select(vec4f(), 256.0 * v[(at + 4u) >> 2u], k < p.rank);
  //#endif
  return pack8(within(low), within(high));
}
//#endif

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32,
) {
  let n0 = group.x * BN;
  let row_tile = groups.y - 1u - group.y;
  let m0 = row_tile * BM;
  let warp = thread / SUBGROUP;
  let warp_m = warp / WN * (16u * SM);
  let warp_n = warp % WN * (32u * SN_PAIRS);
  let first = group.z * p.split_tiles;
  let all_tiles = p.K / BK;
  let main_tiles = min(all_tiles, first + p.split_tiles);
  //#repeat i SM
  //#repeat j SN_PAIRS
  //#repeat h 2
  var c$i_$j$h: Result;
  //#end
  //#end
  //#end
  //#repeat i SM
  let factor$i = p.alpha * factors[min(m0 + warp_m + 16u * $iu, p.M - 1u) / 16u];
  //#end
  //#if STAGED
  //#else
  let whole = m0 + BM <= p.M && n0 + BN <= p.N;
  let at_y = p.y_offset + group.z * p.y_split + (m0 + warp_m) * p.ldy + n0 + warp_n;
  //#repeat i SM
  //#repeat j SN_PAIRS
  //#repeat h 2
  let inside$i_$j$h = m0 + warp_m + 16u * $iu + 16u <= p.M && n0 + warp_n + 32u * $ju + 16u * $hu + 16u <= p.N;
  //#end
  //#end
  //#end
  //#if RESIDUAL
  let at_r = p.r_offset + (m0 + warp_m) * p.ldr + n0 + warp_n;
  //#repeat i SM
  //#repeat j SN_PAIRS
  //#repeat h 2
  if (inside$i_$j$h) {
    let r$i_$j$h = subgroupMatrixLoad<Result, row_major>(&residual, at_r + 16u * $iu * p.ldr + 32u * $ju + 16u * $hu, p.ldr);
    c$i_$j$h = subgroupMatrixScalarMultiply(r$i_$j$h, 1.0 / factor$i);
  }
  //#end
  //#end
  //#end
  //#endif
  //#if ACCUMULATE
  //#repeat i SM
  //#repeat j SN_PAIRS
  //#repeat h 2
  if (inside$i_$j$h) {
    let y$i_$j$h = subgroupMatrixLoad<Result, row_major>(&y, at_y + 16u * $iu * p.ldy + 32u * $ju + 16u * $hu, p.ldy);
    c$i_$j$h = subgroupMatrixScalarMultiply(y$i_$j$h, 1.0 / factor$i);
  }
  //#end
  //#end
  //#end
  //#endif
  //#endif
  let tile_m = row_tile / PARTS_M * all_tiles;
  let part_m = row_tile % PARTS_M * (BM * BK / 8u);
  //#if B_ROWS_N
  let tile_n = group.x / PARTS_N * all_tiles;
  let part_n = group.x % PARTS_N * (BN * BK / 8u);
  //#else
  let tile_n = n0 / 32u;
  let row_tiles = p.ldw / 32u;
  //#endif
  //#repeat s A_LOADS
  let i_a$s = thread + $su * THREADS;
  var next_a$s = x[tile_m + first][part_m + i_a$s];
  //#end
  //#repeat s B_LOADS
  let i_b$s = thread + $su * THREADS;
  //#if B_ROWS_N
  var next_b$s = w[tile_n + first][part_n + i_b$s];
  //#else
  // A quarter of a tile's rows from each of BN / 32 tiles.
  var next_b$s = w[first / 4u * row_tiles + tile_n + i_b$s / 128u][first % 4u * 128u + i_b$s % 128u];
  //#endif
  //#end
  for (var t = first; t < main_tiles; t++) {
    //#include matrix_store
    workgroupBarrier();
    let next = min(t + 1u, all_tiles - 1u);
    //#repeat s A_LOADS
    next_a$s = x[tile_m + next][part_m + i_a$s];
    //#end
    //#repeat s B_LOADS
    //#if B_ROWS_N
    next_b$s = w[tile_n + next][part_n + i_b$s];
    //#else
    next_b$s = w[next / 4u * row_tiles + tile_n + i_b$s / 128u][next % 4u * 128u + i_b$s % 128u];
    //#endif
    //#end
    //#include matrix_multiply
    workgroupBarrier();
  }
  //#if LORA
  // A loop of its own: a choice of what to load next would hold up the one above.
  let u_column = p.rank * (u32(n0 >= p.second) + u32(n0 >= p.third));
  for (var t = select(p.rank, 0u, main_tiles == all_tiles); t < p.rank; t += BK) {
    //#repeat s A_LOADS
    next_a$s = load_u(m0 + i_a$s / (BK / 8u), t + i_a$s % (BK / 8u) * 8u, u_column);
    //#end
    //#repeat s B_LOADS
    //#if B_ROWS_N
    next_b$s = load_v(n0 + i_b$s / (BK / 8u), t + i_b$s % (BK / 8u) * 8u);
    //#else
    next_b$s = load_v(n0 + (i_b$s / 128u * 4u + i_b$s % 4u) * 8u, t + i_b$s % 128u / 4u);
    //#endif
    //#end
    //#include matrix_store
    workgroupBarrier();
    //#include matrix_multiply
    workgroupBarrier();
  }
  //#endif
  //#if STAGED
  //#else
  if (whole) {
    //#repeat i SM
    //#repeat j SN_PAIRS
    //#repeat h 2
    c$i_$j$h = subgroupMatrixScalarMultiply(c$i_$j$h, factor$i);
    subgroupMatrixStore<row_major>(&y, at_y + 16u * $iu * p.ldy + 32u * $ju + 16u * $hu, c$i_$j$h, p.ldy);
    //#end
    //#end
    //#end
    return;
  }
  //#endif
  let lane = thread % SUBGROUP;
  //#repeat i SM
  //#repeat j SN_PAIRS
  //#repeat h 2
  //#if STAGED
  let scatter$i_$j$h = true;
  //#else
  let scatter$i_$j$h = !inside$i_$j$h;
  if (inside$i_$j$h) {
    c$i_$j$h = subgroupMatrixScalarMultiply(c$i_$j$h, factor$i);
    subgroupMatrixStore<row_major>(&y, at_y + 16u * $iu * p.ldy + 32u * $ju + 16u * $hu, c$i_$j$h, p.ldy);
  }
  //#endif
  if (scatter$i_$j$h) {
    //#if VECTORS
    subgroupMatrixStore<row_major>(&a_tile, warp * (OUT_SIZE / 4u), c$i_$j$h, OUT_STRIDE / 4u);
    //#else
    subgroupMatrixStore<row_major>(&out_tile, warp * OUT_SIZE, c$i_$j$h, OUT_STRIDE);
    //#endif
  }
  workgroupBarrier();
  for (var i = select(256u, lane, scatter$i_$j$h); i < 256u; i += SUBGROUP) {
    let m = m0 + warp_m + 16u * $iu + i / 16u;
    let n = n0 + warp_n + 32u * $ju + 16u * $hu + i % 16u;
    //#if VECTORS
    let result = bitcast<f32>(a_tile[warp * (OUT_SIZE / 4u) + i / 16u * (OUT_STRIDE / 4u) + i % 16u / 4u][i % 4u]);
    //#else
    let result = out_tile[warp * OUT_SIZE + i / 16u * OUT_STRIDE + i % 16u];
    //#endif
    if (m < p.M && n < p.N) { put_result(group.z, m, n, factor$i * result); }
  }
  workgroupBarrier();
  //#end
  //#end
  //#end
}

fn put_result(split: u32, m: u32, n: u32, sum: f32) {
  var value = sum;
  //#if COLUMN_SCALE
  value *= column_scale[p.s_offset + n];
  //#endif
  //#if RESIDUAL
  value += residual[p.r_offset + m * p.ldr + n];
  //#endif
  let at = p.y_offset + split * p.y_split + m * p.ldy + n;
  if (p.accumulate != 0u) { value += y[at]; }
  y[at] = value;
}
