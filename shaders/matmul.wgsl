// Every matrix product of the engine: Y = alpha * A B (+ U V, the LoRA part), all of that times a factor for each column
// (COLUMN_SCALE, DoRA), (+ residual) (+ Y).
//
//   forward   X Wᵀ   A(m,k) = x[m,k]   B(k,n) = w[n,k]   (B_ROWS_N)
//   backward  dY W   A(m,k) = x[m,k]   B(k,n) = w[k,n]
//   gradient  PᵀQ    A(m,k) = x[k,m]   B(k,n) = w[k,n]   (A_ROWS_K; sums over tokens)
//
// The LoRA part runs the same inner loop once more over the rank: forward U = s x Aᵀ [M, rank] and V = Bᵀ from
// B [N, rank]; backward U = s dY B and V = A [rank, N]. All row lengths and offsets are in values, multiples of 4.
struct Params {
  M: u32, N: u32, K: u32,
  ldx: u32, x_offset: u32,
  ldw: u32, w_offset: u32,
  ldy: u32, y_offset: u32,
  ldr: u32, r_offset: u32,
  rank: u32, ldu: u32, u_offset: u32, ldv: u32, v_offset: u32,
  alpha: f32, accumulate: u32, s_offset: u32,
  nested_blocks: u32, nested_offset: f32, nested_first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
//#include weight
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
//#if LORA
@group(0) @binding(5) var<storage, read> u: array<vec4f>;
@group(0) @binding(6) var<storage, read> v: array<vec4f>;
//#endif
//#if RESIDUAL
@group(0) @binding(7) var<storage, read> residual: array<vec4f>;
//#endif
//#if COLUMN_SCALE
@group(0) @binding(8) var<storage, read> column_scale: array<vec4f>;
//#endif

//#include accumulate

fn load_x(row: u32, k: u32) -> vec4f {
  if (row >= p.M || k >= p.K) { return vec4f(); }
  return x[(p.x_offset + row * p.ldx + k) >> 2u];
}

// Stages a tile whose source runs along k: four rows by four k, turned in registers.
fn stage_a(m0: u32, k0: u32, thread: u32) {
  //#if A_ROWS_K
  for (var i = thread; i < BK * BM / 4u; i += THREADS) {
    let k = k0 + i / (BM / 4u);
    let m = m0 + 4u * (i % (BM / 4u));
    var value = vec4f();
    if (k < p.K && m < p.M) { value = x[(p.x_offset + k * p.ldx + m) >> 2u]; }
    a_tile[(i / (BM / 4u)) * A_STRIDE + i % (BM / 4u)] = value;
  }
  //#else
  for (var i = thread; i < BK * BM / 16u; i += THREADS) {
    let kb = i % (BK / 4u);
    let mb = i / (BK / 4u);
    let m = m0 + 4u * mb;
    let k = k0 + 4u * kb;
    let t = transpose(mat4x4f(load_x(m, k), load_x(m + 1u, k), load_x(m + 2u, k), load_x(m + 3u, k)));
    for (var c = 0u; c < 4u; c++) { a_tile[(4u * kb + c) * A_STRIDE + mb] = t[c]; }
  }
  //#endif
}

fn load_w(n: u32, k: u32) -> vec4f {
  if (n >= p.N || k >= p.K) { return vec4f(); }
  return load_weight4(p.w_offset + n * p.ldw + k);
}

fn stage_b(n0: u32, k0: u32, thread: u32) {
  //#if B_ROWS_N
  for (var i = thread; i < BK * BN / 16u; i += THREADS) {
    let kb = i % (BK / 4u);
    let nb = i / (BK / 4u);
    let n = n0 + 4u * nb;
    let k = k0 + 4u * kb;
    let t = transpose(mat4x4f(load_w(n, k), load_w(n + 1u, k), load_w(n + 2u, k), load_w(n + 3u, k)));
    for (var c = 0u; c < 4u; c++) { b_tile[(4u * kb + c) * B_STRIDE + nb] = t[c]; }
  }
  //#else
  for (var i = thread; i < BK * BN / 4u; i += THREADS) {
    let k = k0 + i / (BN / 4u);
    let n = n0 + 4u * (i % (BN / 4u));
    var value = vec4f();
    if (k < p.K && n < p.N) { value = load_weight4(p.w_offset + k * p.ldw + n); }
    b_tile[(i / (BN / 4u)) * B_STRIDE + i % (BN / 4u)] = value;
  }
  //#endif
}

//#if LORA
fn load_u(row: u32, k: u32) -> vec4f {
  if (row >= p.M || k >= p.rank) { return vec4f(); }
  return u[(p.u_offset + row * p.ldu + k) >> 2u];
}

fn load_v(n: u32, k: u32) -> vec4f {
  if (n >= p.N || k >= p.rank) { return vec4f(); }
  return v[(p.v_offset + n * p.ldv + k) >> 2u];
}

fn stage_lora(m0: u32, n0: u32, k0: u32, thread: u32) {
  for (var i = thread; i < BK * BM / 16u; i += THREADS) {
    let kb = i % (BK / 4u);
    let mb = i / (BK / 4u);
    let m = m0 + 4u * mb;
    let k = k0 + 4u * kb;
    let t = transpose(mat4x4f(load_u(m, k), load_u(m + 1u, k), load_u(m + 2u, k), load_u(m + 3u, k)));
    for (var c = 0u; c < 4u; c++) { a_tile[(4u * kb + c) * A_STRIDE + mb] = t[c]; }
  }
  //#if B_ROWS_N
  for (var i = thread; i < BK * BN / 16u; i += THREADS) {
    let kb = i % (BK / 4u);
    let nb = i / (BK / 4u);
    let n = n0 + 4u * nb;
    let k = k0 + 4u * kb;
    let t = transpose(mat4x4f(load_v(n, k), load_v(n + 1u, k), load_v(n + 2u, k), load_v(n + 3u, k)));
    for (var c = 0u; c < 4u; c++) { b_tile[(4u * kb + c) * B_STRIDE + nb] = t[c]; }
  }
  //#else
  for (var i = thread; i < BK * BN / 4u; i += THREADS) {
    let k = k0 + i / (BN / 4u);
    let n = n0 + 4u * (i % (BN / 4u));
    var value = vec4f();
    if (k < p.rank && n < p.N) { value = v[(p.v_offset + k * p.ldv + n) >> 2u]; }
    b_tile[(i / (BN / 4u)) * B_STRIDE + i % (BN / 4u)] = value;
  }
  //#endif
}
//#endif

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let n0 = group.x * BN;
  let m0 = group.y * BM;
  let tx = thread % TX;
  let ty = thread / TX;
  var acc = Accumulators();
  for (var k0 = 0u; k0 < p.K; k0 += BK) {
    stage_a(m0, k0, thread);
    stage_b(n0, k0, thread);
    workgroupBarrier();
    accumulate(&acc, tx, ty);
    workgroupBarrier();
  }
  for (var i = 0u; i < TM * TN / 4u; i++) { acc[i] *= p.alpha; }
  //#if LORA
  for (var k0 = 0u; k0 < p.rank; k0 += BK) {
    stage_lora(m0, n0, k0, thread);
    workgroupBarrier();
    accumulate(&acc, tx, ty);
    workgroupBarrier();
  }
  //#endif
  for (var i = 0u; i < TM; i++) {
    let m = m0 + (ty + (i / 4u) * TY) * 4u + i % 4u;
    if (m >= p.M) { continue; }
    for (var j = 0u; j < TN / 4u; j++) {
      let n = n0 + (tx + j * TX) * 4u;
      if (n >= p.N) { continue; }
      var value = acc[i * (TN / 4u) + j];
      //#if COLUMN_SCALE
      value *= column_scale[(p.s_offset + n) >> 2u];
      //#endif
      //#if RESIDUAL
      value += residual[(p.r_offset + m * p.ldr + n) >> 2u];
      //#endif
      let at = (p.y_offset + m * p.ldy + n) >> 2u;
      if (p.accumulate != 0u) { value += y[at]; }
      y[at] = value;
    }
  }
}
