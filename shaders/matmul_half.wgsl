// Products of f16 operands without matrix units: Y = alpha * A B (+ U V, the LoRA part), all of that times a factor for
// each column (COLUMN_SCALE, DoRA), (+ residual) (+ Y), as matmul.wgsl.
//
//   forward   X Wᵀ   A(m,k) = x[m,k]   B(k,n) = w[n,k]   (B_ROWS_N)
//   backward  dY W   A(m,k) = x[m,k]   B(k,n) = w[k,n]
//
// x and w are f16 (half_rows.wgsl, half_weight.wgsl); row m of A comes with factors[m / 16]. Pairs of neighbouring columns are
// multiplied together, as GPUs with packed f16 do at twice f32's rate, and RUN values of k are summed in f16 before
// their sum goes to f32: with values of about the same size that error is 0.28 sqrt(RUN) 2^-11 of the result, beside 0.5 * 2^-11 from
// rounding the operands. The LoRA part is one more stretch of the same loop, from f32: U is scaled like x, and 2^8 goes
// from U to V, whose values are small at first.
//
// A tile of A is [BM][BK], of B [BK][BN] whichever way w lies, both in items of eight values, rows padded by one item
// against bank conflicts. A thread owns rows ty + i * TY and columns (tx + j * TX) * 8 .. + 7. While a tile is multiplied, the next
// one is on its way from memory into registers. With several workgroups along z each takes `split_tiles` tiles of K.
enable f16;
//#include product
@group(0) @binding(2) var<storage, read> w: array<vec2u>;
@group(0) @binding(9) var<storage, read> factors: array<f32>;

const TX = BN / TN;
const TY = BM / TM;
const THREADS = TX * TY;
const AQ = BK / 8u;
const A_STRIDE = AQ + 1u;
const A_SIZE = BM * A_STRIDE;
const BQ = BN / 8u;
const B_STRIDE = BQ + 1u;
const B_SIZE = BK * B_STRIDE;

var<workgroup> a_tile: array<vec4u, A_SIZE>;
var<workgroup> b_tile: array<vec4u, B_SIZE>;

// What a thread brings: of A eight values along k; of B eight columns of one k, or forward, where w runs along k, of
// four, which are turned on their way into the tile.
const A_ITEMS = BM * AQ;
const A_LOADS = (A_ITEMS + THREADS - 1u) / THREADS;
//#if B_ROWS_N
const B_ITEMS = BQ * BK / 4u;
const B_WORDS = 8u;
//#else
const B_ITEMS = BQ * BK;
const B_WORDS = 2u;
//#endif
const B_LOADS = (B_ITEMS + THREADS - 1u) / THREADS;

struct Next {
  a: array<vec4u, A_LOADS>,
  b: array<vec2u, B_LOADS * B_WORDS>,
}

// Neighbours in blocks of LANES_X x LANES_Y (a subgroup on most GPUs) read the fewest different values of both tiles.
fn thread_x(thread: u32) -> u32 {
  return (thread / (LANES_X * LANES_Y)) % (TX / LANES_X) * LANES_X + thread % LANES_X;
}
fn thread_y(thread: u32) -> u32 {
  return thread / (LANES_Y * TX) * LANES_Y + thread / LANES_X % LANES_Y;
}

fn a_row(i: u32) -> u32 { return i / AQ; }
fn a_item(i: u32) -> u32 { return i % AQ; }
//#if B_ROWS_N
fn b_item(i: u32) -> u32 { return i / (BK / 4u) % BQ; }
fn b_k(i: u32) -> u32 { return i % (BK / 4u) * 4u; }
//#else
fn b_item(i: u32) -> u32 { return i % BQ; }
fn b_k(i: u32) -> u32 { return i / BQ % BK; }
//#endif
fn is_a(i: u32) -> bool { return A_ITEMS % THREADS == 0u || i < A_ITEMS; }
fn is_b(i: u32) -> bool { return B_ITEMS % THREADS == 0u || i < B_ITEMS; }

// Where row k of B lies in its tile: neighbouring threads that turn four rows each then meet different banks.
fn b_place(k: u32) -> u32 { return k % 4u * (BK / 4u) + k / 4u; }

fn fetch(next: ptr<function, Next>, m0: u32, n0: u32, k0: u32, thread: u32) {
  for (var s = 0u; s < A_LOADS; s++) {
    let i = thread % THREADS + s * THREADS;
    (*next).a[s] = x[(min(m0 + a_row(i), p.M - 1u) * p.ldx + k0) / 8u + a_item(i)];
  }
  for (var s = 0u; s < B_LOADS; s++) {
    let i = thread % THREADS + s * THREADS;
    if (is_b(i)) {
      //#if B_ROWS_N
      for (var r = 0u; r < 8u; r++) {
        (*next).b[s * 8u + r] = w[(min(n0 + 8u * b_item(i) + r, p.N - 1u) * p.ldw + k0 + b_k(i)) / 4u];
      }
      //#else
      let at = ((k0 + b_k(i)) * p.ldw + n0 + 8u * b_item(i)) / 4u;
      (*next).b[s * 2u] = w[at];
      (*next).b[s * 2u + 1u] = w[at + 1u];
      //#endif
    }
  }
}

//#if LORA
fn pack4(value: vec4f) -> vec2u {
  // Beyond f16's range is its largest value, not infinity.
  let v = clamp(value, vec4f(-65504.0), vec4f(65504.0));
  return vec2u(pack2x16float(v.xy), pack2x16float(v.zw));
}

fn load_u(row: u32, k: u32, u_column: u32) -> vec2u {
  let value = u[(p.u_offset + row * p.ldu + u_column + k) / 4u] / (256.0 * factors[row / 16u]);
  return pack4(select(vec4f(), value, k < p.rank));
}

fn load_v(at: u32, k: u32) -> vec2u { return pack4(select(vec4f(), 256.0 * v[(p.v_offset + at) / 4u], k < p.rank)); }

fn fetch_lora(next: ptr<function, Next>, m0: u32, n0: u32, k0: u32, thread: u32) {
  let u_column = p.rank * (u32(n0 >= p.second) + u32(n0 >= p.third));
  for (var s = 0u; s < A_LOADS; s++) {
    let i = thread % THREADS + s * THREADS;
    let row = min(m0 + a_row(i), p.M - 1u);
    let k = k0 + 8u * a_item(i);
    (*next).a[s] = vec4u(load_u(row, k, u_column), load_u(row, k + 4u, u_column));
  }
  for (var s = 0u; s < B_LOADS; s++) {
    let i = thread % THREADS + s * THREADS;
    if (is_b(i)) {
      let k = k0 + b_k(i);
      let n = n0 + 8u * b_item(i);
      //#if B_ROWS_N
      for (var r = 0u; r < 8u; r++) { (*next).b[s * 8u + r] = load_v(min(n + r, p.N - 1u) * p.ldv + k, k); }
      //#else
      (*next).b[s * 2u] = load_v(k * p.ldv + n, k);
      (*next).b[s * 2u + 1u] = load_v(k * p.ldv + n + 4u, k);
      //#endif
    }
  }
}
//#endif

// The low or the high halves of two words in one.
fn low(a: u32, b: u32) -> u32 { return (a & 0xffffu) | (b << 16u); }
fn high(a: u32, b: u32) -> u32 { return (a >> 16u) | (b & 0xffff0000u); }
// One half of a word in both of its halves: as bits, since compilers make more of vec2(value.x) than one instruction.
fn low_twice(a: u32) -> u32 { return insertBits(a, a, 16u, 16u); }
fn high_twice(a: u32) -> u32 { return insertBits(a, a >> 16u, 0u, 16u); }

fn store(next: ptr<function, Next>, thread: u32) {
  for (var s = 0u; s < A_LOADS; s++) {
    let i = thread % THREADS + s * THREADS;
    if (is_a(i)) { a_tile[a_row(i) % BM * A_STRIDE + a_item(i)] = (*next).a[s]; }
  }
  for (var s = 0u; s < B_LOADS; s++) {
    let i = thread % THREADS + s * THREADS;
    if (is_b(i)) {
      let at = b_place(b_k(i)) * B_STRIDE + b_item(i);
      //#if B_ROWS_N
      var r: array<vec2u, 8>;
      for (var q = 0u; q < 8u; q++) { r[q] = (*next).b[s * 8u + q]; }
      b_tile[at] = vec4u(low(r[0].x, r[1].x), low(r[2].x, r[3].x), low(r[4].x, r[5].x), low(r[6].x, r[7].x));
      b_tile[at + BK / 4u * B_STRIDE] =
        vec4u(high(r[0].x, r[1].x), high(r[2].x, r[3].x), high(r[4].x, r[5].x), high(r[6].x, r[7].x));
      b_tile[at + 2u * (BK / 4u) * B_STRIDE] =
        vec4u(low(r[0].y, r[1].y), low(r[2].y, r[3].y), low(r[4].y, r[5].y), low(r[6].y, r[7].y));
      b_tile[at + 3u * (BK / 4u) * B_STRIDE] =
        vec4u(high(r[0].y, r[1].y), high(r[2].y, r[3].y), high(r[4].y, r[5].y), high(r[6].y, r[7].y));
      //#else
      b_tile[at] = vec4u((*next).b[s * 2u], (*next).b[s * 2u + 1u]);
      //#endif
    }
  }
}

alias Accumulators = array<vec2f, TM * TN / 2u>;

// Every index into workgroup memory is built from constants and remainders by constants, so that the compiler leaves
// out its clamps; UNROLL values of k are unrolled (`k_groups` is RUN / UNROLL, a parameter, so that the rest stays a loop).
fn accumulate(acc: ptr<function, Accumulators>, tx: u32, ty: u32) {
  var sum: array<vec2<f16>, TM * TN / 2u>;
  for (var i = 0u; i < TM * TN / 2u; i++) { sum[i] = vec2<f16>(); }
  for (var g = 0u; g < p.k_groups; g++) {
    let kq0 = g * (UNROLL / 8u) % AQ;
    let at_a = ty % TY * A_STRIDE + kq0;
    let at_b = kq0 * 2u * B_STRIDE + tx % TX;
    for (var kq = 0u; kq < UNROLL / 8u; kq++) {
      var a: array<vec4u, TM>;
      for (var i = 0u; i < TM; i++) { a[i] = a_tile[at_a + i * TY * A_STRIDE + kq]; }
      for (var c = 0u; c < 8u; c++) {
        for (var j = 0u; j < TN / 8u; j++) {
          let b = b_tile[at_b + (c % 4u * (BK / 4u) + kq * 2u + c / 4u) * B_STRIDE + j * TX];
          for (var i = 0u; i < TM; i++) {
            let value = bitcast<vec2<f16>>(select(high_twice(a[i][c / 2u]), low_twice(a[i][c / 2u]), c % 2u == 0u));
            for (var h = 0u; h < 4u; h++) {
              let q = i * (TN / 2u) + j * 4u + h;
              sum[q] = fma(value, bitcast<vec2<f16>>(b[h]), sum[q]);
            }
          }
        }
      }
    }
  }
  for (var i = 0u; i < TM * TN / 2u; i++) { (*acc)[i] += vec2f(sum[i]); }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let n0 = group.x * BN;
  let m0 = group.y * BM;
  let tx = thread_x(thread);
  let ty = thread_y(thread);
  let first = group.z * p.split_tiles;
  let all_tiles = p.K / BK;
  let main_tiles = min(all_tiles, first + p.split_tiles);
  //#if LORA
  let tiles = main_tiles + select(0u, (p.rank + BK - 1u) / BK, main_tiles == all_tiles);
  //#else
  let tiles = main_tiles;
  //#endif
  var acc: Accumulators;
  for (var i = 0u; i < TM * TN / 2u; i++) { acc[i] = vec2f(); }
  var next: Next;
  fetch(&next, m0, n0, first * BK, thread);
  for (var t = first; t < tiles; t++) {
    store(&next, thread);
    workgroupBarrier();
    if (t + 1u < main_tiles) { fetch(&next, m0, n0, (t + 1u) * BK, thread); }
    //#if LORA
    else if (t + 1u < tiles) { fetch_lora(&next, m0, n0, (t + 1u - main_tiles) * BK, thread); }
    //#endif
    accumulate(&acc, tx, ty);
    workgroupBarrier();
  }
  for (var i = 0u; i < TM; i++) {
    let m = m0 + ty + i * TY;
    if (m >= p.M) { continue; }
    let factor = p.alpha * factors[m / 16u];
    for (var j = 0u; j < TN / 4u; j++) {
      let n = n0 + (tx + j / 2u * TX) * 8u + j % 2u * 4u;
      if (n >= p.N) { continue; }
      let q = i * (TN / 2u) + j * 2u;
      var value = factor * vec4f(acc[q], acc[q + 1u]);
      //#if COLUMN_SCALE
      value *= column_scale[(p.s_offset + n) / 4u];
      //#endif
      //#if RESIDUAL
      value += residual[(p.r_offset + m * p.ldr + n) / 4u];
      //#endif
      let at = (p.y_offset + group.z * p.y_split + m * p.ldy + n) / 4u;
      if (p.accumulate != 0u) { value += y[at]; }
      y[at] = value;
    }
  }
}
