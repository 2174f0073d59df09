// Products of f16 operands without matrix units: Y = alpha * A B (+ U V, the LoRA part), all of that times a factor for
// each column (COLUMN_SCALE, DoRA), (+ residual) (+ Y), as matmul.wgsl.
//
//   forward   X Wᵀ   A(m,k) = x[m,k]   B(k,n) = w[n,k]   (B_ROWS_N)
//   backward  dY W   A(m,k) = x[m,k]   B(k,n) = w[k,n]
//
// x and w are f16 (half_rows.wgsl, half_weight.wgsl); row m of A comes with factors[m / 16]. Pairs of neighbouring k are
// multiplied together, as GPUs with packed f16 do at twice f32's rate, and added up beside each other, up to 32 products in f16 before
// both sums go to f32: with values of about the same size that error is 0.28 sqrt(32) 2^-11 of the result, beside
// 0.5 * 2^-11 from rounding the operands. Pairs of columns, or of rows, would need one half in both of a word, or
// swapped. The LoRA part is more tiles of the same loop, from f32.
//
// The tiles are [BK / 2][BM] and [BK / 2][BN] in items of four pairs along m and n, filled in blocks of four rows of eight
// values of k, turned on their way. Pair k stands in row k % 4 * KQ + k / 4, with PAD items more a row: threads that put down
// blocks side by side then meet different banks. A thread owns TM x TN results, in blocks of 4 x 4, TY and TX items apart. A
// subgroup (on most GPUs) is LANES_X x LANES_Y threads, and LANES_PAIR neighbours share a column, as in lib/product_tile.wgsl.
//
// While a tile is multiplied, the next one is on its way from memory into registers. Rows beyond M or N are read as whatever lies
// there, and their results dropped. With several workgroups along z each takes `split_tiles` tiles of K.
//
// Every index into workgroup memory is written out in main, from local_invocation_index and constants: only then does the
// WGSL compiler see that it is in range, and leaves its clamp out.
enable f16;
//#include product
@group(0) @binding(2) var<storage, read> w: array<vec4u>;
@group(0) @binding(9) var<storage, read> factors: array<f32>;

const TX = BN / TN;
const TY = BM / TM;
const THREADS = TX * TY;
const LANES_PAIR = min(2u, LANES_Y);
const KQ = BK / 8u;
const PAD = max(1u, 8u / KQ);
const A_STRIDE = BM / 4u + PAD;
const B_STRIDE = BN / 4u + PAD;
// Thread i brings blocks i, i + THREADS, ... of A's and then B's.
const A_BLOCKS = BM * BK / 32u;
const B_BLOCKS = BN * BK / 32u;
// Tiles of which each half of a pair is summed in f16.
const SUMMED = max(1u, 64u / BK);

var<workgroup> a_tile: array<vec4u, BK / 2u * A_STRIDE>;
var<workgroup> b_tile: array<vec4u, BK / 2u * B_STRIDE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let n0 = group.x * BN;
  let m0 = group.y * BM;
  let tx = thread / (LANES_X * LANES_Y) % (TX / LANES_X) * LANES_X + thread / LANES_PAIR % LANES_X;
  let ty = thread / (LANES_Y * TX) * LANES_Y +
    thread / (LANES_PAIR * LANES_X) % (LANES_Y / LANES_PAIR) * LANES_PAIR + thread % LANES_PAIR;
  let first = group.z * p.split_tiles;
  let all_tiles = p.K / BK;
  let main_tiles = min(all_tiles, first + p.split_tiles);
  //#if LORA
  let tiles = main_tiles + select(0u, (p.rank + BK - 1u) / BK, main_tiles == all_tiles);
  //#else
  let tiles = main_tiles;
  //#endif

  // Blocks of this thread: which, where in memory at k = 0, and what was read of them.
  let ldx = p.ldx / 8u;
  let ldw = p.ldw / 8u;
  //#repeat s SLOTS
  let is_a$s = ($su + 1u) * THREADS <= A_BLOCKS || thread + $su * THREADS < A_BLOCKS;
  let is_b$s = ($su + 1u) * THREADS <= A_BLOCKS + B_BLOCKS || thread + $su * THREADS < A_BLOCKS + B_BLOCKS;
  let i_a$s = (thread + $su * THREADS) % A_BLOCKS;
  let i_b$s = (thread + $su * THREADS + (A_BLOCKS * B_BLOCKS - A_BLOCKS)) % B_BLOCKS;
  let from_a$s = (m0 + 4u * (i_a$s / KQ)) * ldx + i_a$s % KQ;
  //#if B_ROWS_N
  let from_b$s = (n0 + 4u * (i_b$s / KQ)) * ldw + i_b$s % KQ;
  //#else
  let from_b$s = n0 / 8u + i_b$s / (BN / 8u) * 2u * ldw + i_b$s % (BN / 8u);
  //#endif
  //#repeat r 4
  var q$s_$r: vec4u;
  //#end
  //#end
  //#repeat i TM_QUADS
  //#repeat r 4
  //#repeat j TN_QUADS
  var c$i_$r_$j = vec4f();
  //#repeat e 4
  var s$i_$r_$j_$e = vec2<f16>();
  //#end
  //#end
  //#end
  //#end

  {
    let next = first;
    //#include half_fetch
  }
  for (var t = first; t < tiles; t++) {
    //#if LORA
    if (t >= main_tiles) {
      let rank0 = (t - main_tiles) * BK;
      //#include half_lora
    } else {
      //#include half_store
    }
    //#else
    //#include half_store
    //#endif
    workgroupBarrier();
    {
      let next = min(t + 1u, main_tiles - 1u);
      //#include half_fetch
    }
    //#include half_multiply
    workgroupBarrier();
  }
  //#repeat i TM_QUADS
  //#repeat r 4
  {
    let m = m0 + 4u * (ty + $iu * TY) + $ru;
    if (m < p.M) {
      let factor = p.alpha * factors[m / 16u];
      //#repeat j TN_QUADS
      //#if B_ROWS_N
      put(group.z, m, n0 + 4u * (tx + $ju * TX), factor * c$i_$r_$j);
      //#else
      let place$j = tx + $ju * TX;
      put(group.z, m, n0 + 8u * (place$j % (BN / 8u)) + 4u * (place$j / (BN / 8u)), factor * c$i_$r_$j);
      //#endif
      //#end
    }
  }
  //#end
  //#end
}

fn put(split: u32, m: u32, n: u32, sum: vec4f) {
  if (n >= p.N) { return; }
  var value = sum;
  //#if COLUMN_SCALE
  value *= column_scale[(p.s_offset + n) / 4u];
  //#endif
  //#if RESIDUAL
  value += residual[(p.r_offset + m * p.ldr + n) / 4u];
  //#endif
  let at = (p.y_offset + split * p.y_split + m * p.ldy + n) / 4u;
  if (p.accumulate != 0u) { value += y[at]; }
  y[at] = value;
}

//#if B_ROWS_N
//#else
// The low or the high halves of two words in one.
fn low(a: u32, b: u32) -> u32 { return (a & 0xffffu) | (b << 16u); }
fn high(a: u32, b: u32) -> u32 { return (a >> 16u) | (b & 0xffff0000u); }
//#endif

//#if LORA
// Beyond f16's range is its largest value, not infinity.
fn in_range(value: vec4f) -> vec4f { return clamp(value, vec4f(-65504.0), vec4f(65504.0)); }
//#endif
