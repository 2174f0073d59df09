// Every matrix product of the engine: Y = alpha * A B (+ U V, the LoRA part), all of that times a factor for each column
// (COLUMN_SCALE, DoRA), (+ residual) (+ Y).
//
//   forward   X Wᵀ   A(m,k) = x[m,k]   B(k,n) = w[n,k]   (B_ROWS_N)
//   backward  dY W   A(m,k) = x[m,k]   B(k,n) = w[k,n]
//   gradient  PᵀQ    A(m,k) = x[k,m]   B(k,n) = w[k,n]   (A_ROWS_K; sums over tokens)
//
// The LoRA part is more tiles of the same loop, over the rank: forward U = s x Aᵀ [M, rank] and V = Bᵀ from B [N, rank];
// backward U = s dY B and V = A [rank, N]. All row lengths and offsets are in values, multiples of 4.
//
// With several workgroups along z each takes `split_tiles` tiles of K and writes its own matrix, `y_split` values apart.
//
// While a tile is multiplied, the next one is on its way from memory into registers. Rows beyond M or N are read as
// whatever lies there, and their results dropped; only K_TAIL (K is no multiple of BK) must read zeros.
//#include product
//#include raw_weight

//#include product_tile
//#include product_stage

// What a thread holds of the next tile.
struct Next {
  a: array<vec4f, A_LOADS>,
  b: array<RawWeight, B_LOADS>,
}

//#if NF4_WIDE
// The absmax of every block that 64 values of k meet in this workgroup's columns: one for each row of W forward, BN / 64
// for each k backward. Filled a tile before the first one that reads it, in turns of two.
var<workgroup> absmax: array<f32, 2u * BN>;

fn absmax_half(k0: u32) -> u32 { return k0 / 64u % 2u * BN; }

fn fill_absmax(n0: u32, k0: u32, thread: u32) {
  for (var i = thread; i < BN; i += THREADS) {
    //#if B_ROWS_N
    let at = min(n0 + i, p.N - 1u) * p.ldw + k0;
    //#else
    let at = (k0 + i / (BN / 64u)) * p.ldw + n0 + 64u * (i % (BN / 64u));
    //#endif
    absmax[absmax_half(k0) + i % BN] = load_absmax((p.w_offset + at + p.nested_first) >> 6u);
  }
}
//#endif

fn fetch(next: ptr<function, Next>, m0: u32, n0: u32, k0: u32, thread: u32) {
  for (var s = 0u; s < A_LOADS; s++) {
    let i = thread % THREADS + s * THREADS;
    //#if A_ROWS_K
    let k = k0 + i / (BM / 4u);
    let at = k * p.ldx + m0 + 4u * (i % (BM / 4u));
    //#else
    let k = k0 + 4u * along(i, 4u);
    let at = min(m0 + across(i, 4u), p.M - 1u) * p.ldx + k;
    //#endif
    let value = x[(p.x_offset + at) >> 2u];
    //#if K_TAIL
    (*next).a[s] = select(vec4f(), value, k < p.K);
    //#else
    (*next).a[s] = value;
    //#endif
  }
  for (var s = 0u; s < B_LOADS; s++) {
    let i = thread % THREADS + s * THREADS;
    //#if B_ROWS_N
    let k = k0 + ITEM * along(i, ITEM);
    let at = min(n0 + across(i, ITEM), p.N - 1u) * p.ldw + k;
    //#else
    let k = k0 + i / (BN / ITEM);
    let at = k * p.ldw + n0 + ITEM * (i % (BN / ITEM));
    //#endif
    //#if NF4_WIDE
    if (B_ITEMS % THREADS == 0u || i < B_ITEMS) { (*next).b[s] = w[(p.w_offset + at) >> 3u]; }
    //#else
    (*next).b[s] = fetch_weight4(p.w_offset + at);
    //#endif
  }
}

fn store(next: ptr<function, Next>, k0: u32, stage: u32, thread: u32) {
  for (var s = 0u; s < A_LOADS; s++) {
    let i = thread % THREADS + s * THREADS;
    //#if A_ROWS_K
    put_a(i / (BM / 4u), i % (BM / 4u), stage, (*next).a[s]);
    //#else
    put_a_row(across(i, 4u), along(i, 4u), stage, (*next).a[s]);
    //#endif
  }
  for (var s = 0u; s < B_LOADS; s++) {
    let i = thread % THREADS + s * THREADS;
    //#if NF4_WIDE
    if (B_ITEMS % THREADS != 0u && i >= B_ITEMS) { continue; }
    let bits = (*next).b[s];
    //#if B_ROWS_N
    let n = across(i, ITEM);
    let factor = absmax[absmax_half(k0) + n % BN];
    // Every other two rows put their second half down first, so that neighbouring threads never meet in a bank.
    let half = n / 2u % 2u;
    put_b_row(n, 2u * along(i, ITEM) + half, stage, factor * decode_nibbles(bits >> (16u * half)));
    put_b_row(n, 2u * along(i, ITEM) + 1u - half, stage, factor * decode_nibbles(bits >> (16u - 16u * half)));
    //#else
    let k = i / (BN / ITEM);
    let column = i % (BN / ITEM) * (ITEM / 4u);
    let factor = absmax[absmax_half(k0) + (k0 + k) % 64u * (BN / 64u) + column / 16u % (BN / 64u)];
    put_b(k, column, stage, factor * decode_nibbles(bits));
    put_b(k, column + 1u, stage, factor * decode_nibbles(bits >> 16u));
    //#endif
    //#else
    var value = decode_weight4((*next).b[s]);
    //#if B_ROWS_N
    //#if K_TAIL
    value = select(vec4f(), value, k0 + 4u * along(i, 4u) < p.K);
    //#endif
    put_b_row(across(i, ITEM), along(i, ITEM), stage, value);
    //#else
    let k = i / (BN / ITEM);
    //#if K_TAIL
    value = select(vec4f(), value, k0 + k < p.K);
    //#endif
    put_b(k, i % (BN / ITEM), stage, value);
    //#endif
    //#endif
  }
}

//#if LORA
fn stage_lora(m0: u32, n0: u32, k0: u32, stage: u32, thread: u32) {
  for (var s = 0u; s < A_LOADS; s++) {
    let i = thread % THREADS + s * THREADS;
    let k = k0 + 4u * along(i, 4u);
    let value = u[(p.u_offset + min(m0 + across(i, 4u), p.M - 1u) * p.ldu + k) >> 2u];
    put_a_row(across(i, 4u), along(i, 4u), stage, select(vec4f(), value, k < p.rank));
  }
  for (var s = 0u; s < V_LOADS; s++) {
    let i = thread % THREADS + s * THREADS;
    //#if B_ROWS_N
    let k = k0 + 4u * along(i, 4u);
    let value = v[(p.v_offset + min(n0 + across(i, 4u), p.N - 1u) * p.ldv + k) >> 2u];
    put_b_row(across(i, 4u), along(i, 4u), stage, select(vec4f(), value, k < p.rank));
    //#else
    let k = k0 + i / (BN / 4u);
    let value = v[(p.v_offset + k * p.ldv + n0 + 4u * (i % (BN / 4u))) >> 2u];
    put_b(i / (BN / 4u), i % (BN / 4u), stage, select(vec4f(), value, k < p.rank));
    //#endif
  }
}
//#endif

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let n0 = group.x * BN;
  let m0 = group.y * BM;
  let tx = thread_x(thread);
  let ty = thread_y(thread);
  let first = group.z * p.split_tiles;
  let all_tiles = (p.K + BK - 1u) / BK;
  let main_tiles = min(all_tiles, first + p.split_tiles);
  //#if LORA
  let tiles = main_tiles + select(0u, (p.rank + BK - 1u) / BK, main_tiles == all_tiles);
  //#else
  let tiles = main_tiles;
  //#endif
  prepare_weights(thread);
  var acc = Accumulators();
  //#if NF4_WIDE
  fill_absmax(n0, first * BK / 64u * 64u, thread);
  fill_absmax(n0, (first * BK / 64u + 1u) * 64u, thread);
  workgroupBarrier();
  //#endif
  var next: Next;
  fetch(&next, m0, n0, first * BK, thread);
  store(&next, first * BK, first, thread);
  for (var t = first; t < tiles; t++) {
    workgroupBarrier();
    if (t + 1u < main_tiles) { fetch(&next, m0, n0, (t + 1u) * BK, thread); }
    //#if NF4_WIDE
    // The half that held the blocks before this tile's is free from here on; the next ones are read a tile later or more.
    if (t > first && t * BK % 64u == 0u) { fill_absmax(n0, t * BK + 64u, thread); }
    //#endif
    //#if LORA
    if (t == main_tiles && p.alpha != 1.0) {
      for (var i = 0u; i < TM * TN / 4u; i++) { acc[i] *= p.alpha; }
    }
    //#endif
    //#if K_GROUPS
    accumulate(&acc, tx, ty, t, p.k_groups);
    //#else
    accumulate(&acc, tx, ty, t, 1u);
    //#endif
    //#if ONE_STAGE
    workgroupBarrier();
    //#endif
    if (t + 1u < main_tiles) {
      store(&next, (t + 1u) * BK, t + 1u, thread);
    }
    //#if LORA
    else if (t + 1u < tiles) {
      stage_lora(m0, n0, (t + 1u - main_tiles) * BK, t + 1u, thread);
    }
    //#endif
  }
  //#if LORA
  let alpha = 1.0;
  //#else
  let alpha = p.alpha;
  //#endif
  for (var i = 0u; i < TM; i++) {
    let m = m0 + result_row(ty, i);
    if (m >= p.M) { continue; }
    for (var j = 0u; j < TN / 4u; j++) {
      let n = n0 + (tx + j * TX) * 4u;
      if (n >= p.N) { continue; }
      var value = alpha * acc[i * (TN / 4u) + j];
      //#if COLUMN_SCALE
      value *= column_scale[(p.s_offset + n) >> 2u];
      //#endif
      //#if RESIDUAL
      value += residual[(p.r_offset + m * p.ldr + n) >> 2u];
      //#endif
      let at = (p.y_offset + group.z * p.y_split + m * p.ldy + n) >> 2u;
      if (p.accumulate != 0u) { value += y[at]; }
      y[at] = value;
    }
  }
}
