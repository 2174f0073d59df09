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
// While a tile is multiplied, the next one is on its way from memory into registers. These are few, and tiles small: on NVIDIA
// two workgroups of 256 threads then fit on a processor, and one computes while the other stages. Rows beyond M or N are read as
// whatever lies there, and their results dropped; only K_TAIL (K is no multiple of BK) must read zeros.
//
// Every index into workgroup memory is written out in main, from local_invocation_index and constants: only then does the
// WGSL compiler see that it is in range, and leaves its clamp out.
//#include product
//#include raw_weight
//#include product_tile

//#if NF4_WIDE
// The absmax of every block that 64 values of k meet in this workgroup's columns: one for each row of W forward, BN / 64
// for each k backward. Two turns of them: those in use, and the next ones, looked up early.
var<workgroup> absmax: array<f32, 2u * BN>;

fn absmax_block(n0: u32, k0: u32, i: u32) -> u32 {
  //#if B_ROWS_N
  let at = (n0 + i) * p.ldw + k0;
  //#else
  let at = (k0 + i / (BN / 64u)) * p.ldw + n0 + 64u * (i % (BN / 64u));
  //#endif
  return (p.w_offset + at + p.nested_first) >> 6u;
}
//#endif

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let n0 = group.x * BN;
  let m0 = group.y * BM;
  let tx = thread / (LANES_X * LANES_Y) % (TX / LANES_X) * LANES_X + thread / LANES_PAIR % LANES_X;
  let ty = thread / (LANES_Y * TX) * LANES_Y +
    thread / (LANES_PAIR * LANES_X) % (LANES_Y / LANES_PAIR) * LANES_PAIR + thread % LANES_PAIR;
  let first = group.z * p.split_tiles;
  let all_tiles = (p.K + BK - 1u) / BK;
  let main_tiles = min(all_tiles, first + p.split_tiles);
  //#if LORA
  let tiles = main_tiles + select(0u, (p.rank + BK - 1u) / BK, main_tiles == all_tiles);
  //#else
  let tiles = main_tiles;
  //#endif

  // Blocks of this thread: which, where in memory at k = 0, in vec4, and what was read of them. One is of A or of B: rows
  // of f32 share registers, others do not, for a choice between two registers would wait for both.
  let ldx = p.ldx / 4u;
  let ldw = p.ldw / 4u;
  //#if A_ROWS_K
  let w_column = p.N * (u32(m0 >= p.second) + u32(m0 >= p.third));
  //#else
  let w_column = 0u;
  //#endif
  //#repeat s SLOTS
  let is_a$s = ($su + 1u) * THREADS <= A_BLOCKS || thread + $su * THREADS < A_BLOCKS;
  let is_b$s = ($su + 1u) * THREADS <= A_BLOCKS + B_BLOCKS || thread + $su * THREADS < A_BLOCKS + B_BLOCKS;
  let i_a$s = (thread + $su * THREADS) % A_BLOCKS;
  let i_b$s = (thread + $su * THREADS + (A_BLOCKS * B_BLOCKS - A_BLOCKS)) % B_BLOCKS;
  //#if A_ROWS_K
  let from_a$s = (p.x_offset + m0) / 4u + i_a$s / (BM / 4u) * ldx + i_a$s % (BM / 4u);
  //#else
  let from_a$s = p.x_offset / 4u + (m0 + 4u * (i_a$s / KQ)) * ldx + i_a$s % KQ;
  //#endif
  //#if B_ROWS_N
  let from_b$s = p.w_offset / 4u + (n0 + 4u * (i_b$s / KQ)) * ldw + i_b$s % KQ;
  //#else
  let from_b$s = (p.w_offset + w_column + n0) / 4u + i_b$s / (BN / ITEM) * ldw + ITEM / 4u * (i_b$s % (BN / ITEM));
  //#endif
  //#repeat r 4
  var q$s_$r: vec4f;
  //#if W_F32
  //#else
  var raw$s_$r: RawWeight;
  //#endif
  //#end
  //#end
  //#repeat i TM_QUADS
  //#repeat r 4
  //#repeat j TN_QUADS
  var c$i_$r_$j = vec4f();
  //#end
  //#end
  //#end

  prepare_weights(thread);
  //#if NF4_WIDE
  var raw_absmax = vec2u();
  if (thread < BN) {
    let k0 = first * BK / 64u * 64u;
    absmax[k0 / 64u % 2u * BN + thread % BN] = load_absmax(absmax_block(n0, k0, thread));
    absmax[(k0 / 64u + 1u) % 2u * BN + thread % BN] = load_absmax(absmax_block(n0, k0 + 64u, thread));
  }
  workgroupBarrier();
  //#endif
  {
    let next = first;
    //#include product_fetch
  }
  for (var t = first; t < tiles; t++) {
    //#if LORA
    if (t >= main_tiles) {
      let rank0 = (t - main_tiles) * BK;
      //#include product_lora
    } else {
      //#include product_store
    }
    if (t == main_tiles && p.alpha != 1.0) {
      //#repeat i TM_QUADS
      //#repeat r 4
      //#repeat j TN_QUADS
      c$i_$r_$j *= p.alpha;
      //#end
      //#end
      //#end
    }
    //#else
    //#include product_store
    //#endif
    workgroupBarrier();
    {
      let next = min(t + 1u, main_tiles - 1u);
      //#include product_fetch
    }
    //#if NF4_WIDE
    // The half that held the blocks before this tile's is free from here on; the next ones are read a tile later or more.
    let fills = t > first && t * BK % 64u == 0u && thread < BN;
    if (fills) { raw_absmax = fetch_absmax(absmax_block(n0, t * BK + 64u, thread)); }
    //#endif
    //#include product_multiply
    workgroupBarrier();
    //#if NF4_WIDE
    if (fills) { absmax[(t * BK / 64u + 1u) % 2u * BN + thread % BN] = decode_absmax(raw_absmax); }
    //#endif
  }
  //#if LORA
  let alpha = 1.0;
  //#else
  let alpha = p.alpha;
  //#endif
  //#repeat i TM_QUADS
  //#repeat r 4
  {
    let m = m0 + (ty + $iu * TY) * 4u + $ru;
    if (m < p.M) {
      //#repeat j TN_QUADS
      put(group.z, m, n0 + (tx + $ju * TX) * 4u, alpha * c$i_$r_$j);
      //#end
    }
  }
  //#end
  //#end
}

fn put(split: u32, m: u32, n: u32, sum: vec4f) {
  if (n >= p.N) { return; }
  // Columns beyond N were made from whatever lay there, and a later product reads them with zeros.
  var value = select(vec4f(), sum, vec4u(n, n + 1u, n + 2u, n + 3u) < vec4u(p.N));
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
