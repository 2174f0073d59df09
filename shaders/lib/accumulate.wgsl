// The inner product of one staged tile. `a_tile` is [BK][BM] and `b_tile` is [BK][BN], both as vec4 along the second
// axis with rows padded by one vec4 against bank conflicts; there are STAGES of each, so that one can be filled while
// another is read. A thread owns TM x TN results: rows in groups of four at (ty + i * TY) * 4, columns at
// (tx + j * TX) * 4.
//
// Every index into workgroup memory is built from constants and remainders by constants: the compiler can then prove
// that it is in range and leaves its clamp out, which in this loop is a tenth of all instructions.
const A_STRIDE = BM / 4u + 1u;
const B_STRIDE = BN / 4u + 1u;
const TX = BN / TN;
const TY = BM / TM;
const THREADS = TX * TY;

var<workgroup> a_tile: array<vec4f, STAGES * BK * A_STRIDE>;
var<workgroup> b_tile: array<vec4f, STAGES * BK * B_STRIDE>;

alias Accumulators = array<vec4f, TM * TN / 4u>;

// Where a thread stands among the TX x TY of its workgroup. Neighbours in blocks of LANES_X x LANES_Y (a subgroup on most
// GPUs) read the fewest different values of both tiles.
fn thread_x(thread: u32) -> u32 {
  return (thread / (LANES_X * LANES_Y)) % (TX / LANES_X) * LANES_X + thread % LANES_X;
}
fn thread_y(thread: u32) -> u32 {
  return thread / (LANES_Y * TX) * LANES_Y + thread / LANES_X % LANES_Y;
}

// Only GROUP rows are unrolled: more code than that no longer fits a GPU's instruction cache. `groups` is BK / GROUP, from
// a parameter where there are several, so that the compiler keeps them a loop.
const GROUP = min(BK, 8u);

fn accumulate(acc: ptr<function, Accumulators>, thread_x: u32, thread_y: u32, stage: u32, groups: u32) {
  for (var g = 0u; g < groups; g++) {
    let row = g % (BK / GROUP) * GROUP;
    let tx = thread_x % TX + (stage % STAGES) * (BK * B_STRIDE) + row * B_STRIDE;
    let ty = thread_y % TY + (stage % STAGES) * (BK * A_STRIDE) + row * A_STRIDE;
    for (var k = 0u; k < GROUP; k++) {
      var b: array<vec4f, TN / 4u>;
      for (var j = 0u; j < TN / 4u; j++) {
        b[j] = b_tile[k * B_STRIDE + tx + j * TX];
      }
      for (var i = 0u; i < TM / 4u; i++) {
        let a = a_tile[k * A_STRIDE + ty + i * TY];
        for (var j = 0u; j < TN / 4u; j++) {
          (*acc)[(i * 4u + 0u) * (TN / 4u) + j] += a.x * b[j];
          (*acc)[(i * 4u + 1u) * (TN / 4u) + j] += a.y * b[j];
          (*acc)[(i * 4u + 2u) * (TN / 4u) + j] += a.z * b[j];
          (*acc)[(i * 4u + 3u) * (TN / 4u) + j] += a.w * b[j];
        }
      }
    }
  }
}
