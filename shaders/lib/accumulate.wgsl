// The inner product of one staged tile. `a_tile` is [BK][BM] and `b_tile` is [BK][BN], both as vec4 along the second
// axis with rows padded by one vec4 against bank conflicts. A thread owns TM x TN results: rows in groups of four at
// (ty + i * TY) * 4, columns at (tx + j * TX) * 4.
const A_STRIDE = BM / 4u + 1u;
const B_STRIDE = BN / 4u + 1u;
const TX = BN / TN;
const TY = BM / TM;
const THREADS = TX * TY;

var<workgroup> a_tile: array<vec4f, BK * A_STRIDE>;
var<workgroup> b_tile: array<vec4f, BK * B_STRIDE>;

alias Accumulators = array<vec4f, TM * TN / 4u>;

fn accumulate(acc: ptr<function, Accumulators>, tx: u32, ty: u32) {
  for (var k = 0u; k < BK; k++) {
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
