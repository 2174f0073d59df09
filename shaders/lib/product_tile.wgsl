// The inner product of one staged tile. What runs along k in memory stays along k: a row of A [BM][BK],
// and of B when it is stored [n][k], is kept as vec4 along k, rows padded by one vec4 against bank conflicts. What runs along
// m or n is kept [BK][BM] or [BK][BN], as vec4 along the second axis.
//
// A thread owns TM x TN results: columns (tx + j * TX) * 4 .. + 3; rows ty + i * TY, or for A stored [k][m] rows in groups of
// four at (ty + i * TY) * 4. The four columns of a group lie B_GROUP apart, so that neighbouring threads read neighbouring rows.
//
// Every index into workgroup memory is built from constants and remainders by constants: the compiler can then prove
// that it is in range and leaves its clamp out, which in this loop is a tenth of all instructions.
const TX = BN / TN;
const TY = BM / TM;
const THREADS = TX * TY;
const KQ = BK / 4u;

//#if A_ROWS_K
const A_STRIDE = BM / 4u + 1u;
const A_SIZE = BK * A_STRIDE;
//#else
const A_STRIDE = KQ + 1u;
const A_SIZE = BM * A_STRIDE;
//#endif
//#if B_ROWS_N
const B_STRIDE = KQ + 1u;
const B_GROUP = BN / 4u * B_STRIDE + KQ;
const B_SIZE = 4u * B_GROUP;
//#else
const B_STRIDE = BN / 4u + 1u;
const B_SIZE = BK * B_STRIDE;
//#endif

var<workgroup> a_tile: array<vec4f, STAGES * A_SIZE>;
var<workgroup> b_tile: array<vec4f, STAGES * B_SIZE>;

alias Accumulators = array<vec4f, TM * TN / 4u>;

// Where a thread stands among the TX x TY of its workgroup. Neighbours in blocks of LANES_X x LANES_Y (a subgroup on most
// GPUs) read the fewest different values of both tiles.
fn thread_x(thread: u32) -> u32 {
  return (thread / (LANES_X * LANES_Y)) % (TX / LANES_X) * LANES_X + thread % LANES_X;
}
fn thread_y(thread: u32) -> u32 {
  return thread / (LANES_Y * TX) * LANES_Y + thread / LANES_X % LANES_Y;
}

// Row of the tile that a thread's i-th row of results is.
fn result_row(ty: u32, i: u32) -> u32 {
  //#if A_ROWS_K
  return (ty + (i / 4u) * TY) * 4u + i % 4u;
  //#else
  return ty + i * TY;
  //#endif
}

// Only GROUP values of k are unrolled: more code than that no longer fits a GPU's instruction cache. `groups` is BK / GROUP,
// from a parameter where there are several, so that the compiler keeps them a loop.
const GROUP = min(BK, UNROLL);

fn accumulate(acc: ptr<function, Accumulators>, thread_x: u32, thread_y: u32, stage: u32, groups: u32) {
  for (var g = 0u; g < groups; g++) {
    let k0 = g % (BK / GROUP) * GROUP;
    //#if A_ROWS_K
    let at_a = thread_y % TY + (stage % STAGES) * A_SIZE + k0 * A_STRIDE;
    //#else
    let at_a = thread_y % TY * A_STRIDE + (stage % STAGES) * A_SIZE + k0 / 4u;
    //#endif
    //#if B_ROWS_N
    let at_b = thread_x % TX * B_STRIDE + (stage % STAGES) * B_SIZE + k0 / 4u;
    //#else
    let at_b = thread_x % TX + (stage % STAGES) * B_SIZE + k0 * B_STRIDE;
    //#endif
    //#if A_ROWS_K
    for (var k = 0u; k < GROUP; k++) {
      var b: array<vec4f, TN / 4u>;
      for (var j = 0u; j < TN / 4u; j++) { b[j] = b_tile[at_b + k * B_STRIDE + j * TX]; }
      for (var i = 0u; i < TM / 4u; i++) {
        let a = a_tile[at_a + k * A_STRIDE + i * TY];
        for (var j = 0u; j < TN / 4u; j++) {
          for (var r = 0u; r < 4u; r++) { (*acc)[(i * 4u + r) * (TN / 4u) + j] += a[r] * b[j]; }
        }
      }
    }
    //#else
    for (var kq = 0u; kq < GROUP / 4u; kq++) {
      var a: array<vec4f, TM>;
      for (var i = 0u; i < TM; i++) { a[i] = a_tile[at_a + i * TY * A_STRIDE + kq]; }
      //#if B_ROWS_N
      for (var j = 0u; j < TN / 4u; j++) {
        for (var n = 0u; n < 4u; n++) {
          let b = b_tile[at_b + j * TX * B_STRIDE + n * B_GROUP + kq];
          for (var c = 0u; c < 4u; c++) {
            for (var i = 0u; i < TM; i++) { (*acc)[i * (TN / 4u) + j][n] += a[i][c] * b[c]; }
          }
        }
      }
      //#else
      for (var c = 0u; c < 4u; c++) {
        for (var j = 0u; j < TN / 4u; j++) {
          let b = b_tile[at_b + (kq * 4u + c) * B_STRIDE + j * TX];
          for (var i = 0u; i < TM; i++) { (*acc)[i * (TN / 4u) + j] += a[i][c] * b; }
        }
      }
      //#endif
    }
    //#endif
  }
}
