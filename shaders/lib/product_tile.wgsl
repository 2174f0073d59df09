// The tiles of A and B in workgroup memory, vec4 along m and n: [BK][BM] and [BK][BN]. They are filled in blocks of 4 x 4
// values; an operand that lies along k in memory is turned within a block. Row k stands at k % 4 * KQ + k / 4, with PAD vec4 more a
// row: threads that put down blocks side by side then meet different banks.
//
// A thread owns TM x TN results: rows (ty + i * TY) * 4 .. + 3 and columns (tx + j * TX) * 4 .. + 3. A subgroup (on most GPUs) is
// LANES_X x LANES_Y threads, so that it reads few different values of both tiles, and LANES_PAIR neighbours share a
// column: NVIDIA's memory serves 16 bytes for a pair of lanes at once only if they are the same.
const TX = BN / TN;
const TY = BM / TM;
const THREADS = TX * TY;
const LANES_PAIR = min(2u, LANES_Y);
const KQ = BK / 4u;
const PAD = max(1u, 8u / KQ);
const A_STRIDE = BM / 4u + PAD;
const B_STRIDE = BN / 4u + PAD;
// Thread i brings blocks i, i + THREADS, ... of A's and then B's.
const A_BLOCKS = BM * BK / 16u;
const B_BLOCKS = BN * BK / 16u;

var<workgroup> a_tile: array<vec4f, BK * A_STRIDE>;
var<workgroup> b_tile: array<vec4f, BK * B_STRIDE>;
