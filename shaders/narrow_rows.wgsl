// Products with few columns, U = X Aᵀ of LoRA and its backward: Y = alpha * A B (+ Y), X and the weight f32, as matmul.wgsl.
//
//   forward   X Wᵀ   B(k,n) = w[n,k]   (B_ROWS_N)
//   backward  dY W   B(k,n) = w[k,n]; of matrices one below the other, along z, each with its own stretch of K and columns of Y
//
// A workgroup makes ROWS x 16 results over all of K: each SLOT of four threads, one for every four columns, has a share of K. Next
// to nothing is read twice in it, so nothing is staged, and no partial results go through memory. K and N are multiples of 4. ROWS is
// 4 or 8.
//#include product
@group(0) @binding(2) var<storage, read> w: array<vec4f>;

const SLOTS = 64u;
const THREADS = 4u * SLOTS;
// vec4 along K that a thread loads at a time.
const AHEAD = 2u;
// Threads that first add up a vec4 of results, and rows that are added up at a time.
const ADDERS = 16u;
const ROUND = THREADS / ADDERS / 4u;
const ROUNDS = ROWS / ROUND;

var<workgroup> sums: array<vec4f, ROUND * THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * ROWS;
  let n0 = group.x * 16u;
  let slot = thread / 4u;
  let quad = thread % 4u;
  let n1 = min(n0 + 4u * quad, p.N - 4u);
  var acc: array<vec4f, ROWS>;
  for (var r = 0u; r < ROWS; r++) { acc[r] = vec4f(); }
  //#if B_ROWS_N
  let first = 0u;
  let last = p.K;
  //#else
  let first = select(select(0u, p.second, group.z == 1u), p.third, group.z == 2u);
  let last = min(p.K, select(select(p.second, p.third, group.z == 1u), p.K, group.z == 2u));
  //#endif
  for (var k0 = first + 4u * slot; k0 < last; k0 += 4u * SLOTS * AHEAD) {
    var a: array<vec4f, ROWS * AHEAD>;
    var b: array<vec4f, 4u * AHEAD>;
    for (var s = 0u; s < AHEAD; s++) {
      let k = min(k0 + s * 4u * SLOTS, last - 4u);
      for (var r = 0u; r < ROWS; r++) {
        let value = x[(p.x_offset + min(m0 + r, p.M - 1u) * p.ldx + k) >> 2u];
        a[s * ROWS + r] = select(vec4f(), value, k0 + s * 4u * SLOTS < last);
      }
      for (var i = 0u; i < 4u; i++) {
        //#if B_ROWS_N
        b[s * 4u + i] = w[(p.w_offset + (n1 + i) * p.ldw + k) >> 2u];
        //#else
        b[s * 4u + i] = w[(p.w_offset + (k + i) * p.ldw + n1) >> 2u];
        //#endif
      }
    }
    for (var s = 0u; s < AHEAD; s++) {
      for (var i = 0u; i < 4u; i++) {
        for (var r = 0u; r < ROWS; r++) {
          //#if B_ROWS_N
          for (var d = 0u; d < 4u; d++) { acc[r][i] += a[s * ROWS + r][d] * b[s * 4u + i][d]; }
          //#else
          acc[r] += a[s * ROWS + r][i] * b[s * 4u + i];
          //#endif
        }
      }
    }
  }
  // Result `thread / ADDERS` of a round is a row of it and four columns.
  let adder = thread % ADDERS;
  var parts: array<vec4f, ROUNDS>;
  for (var round = 0u; round < ROUNDS; round++) {
    for (var i = 0u; i < ROUND; i++) { sums[(i * 4u + quad) * SLOTS + slot] = acc[round * ROUND + i]; }
    workgroupBarrier();
    var part = vec4f();
    for (var i = 0u; i < SLOTS / ADDERS; i++) { part += sums[thread / ADDERS * SLOTS + i * ADDERS + adder]; }
    parts[round] = part;
    workgroupBarrier();
  }
  for (var round = 0u; round < ROUNDS; round++) { sums[round * THREADS + thread] = parts[round]; }
  workgroupBarrier();
  if (thread >= ROWS * 4u) { return; }
  var value = vec4f();
  // Each begins elsewhere, so that they meet different banks.
  for (var i = 0u; i < ADDERS; i++) { value += sums[thread % (ROWS * 4u) * ADDERS + (i + thread) % ADDERS]; }
  let m = m0 + thread / 4u;
  let n = n0 + thread % 4u * 4u;
  if (m >= p.M || n >= p.N) { return; }
  let at = (p.y_offset + m * p.ldy + group.z * p.N + n) >> 2u;
  value *= p.alpha;
  if (p.accumulate != 0u) { value += y[at]; }
  y[at] = value;
}
