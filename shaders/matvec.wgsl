// Products of few rows, as decoding one token of a few sequences has them:
//
//   Y[M, N] = alpha X Wᵀ (+ U Bᵀ, the LoRA part), times a factor for each column (COLUMN_SCALE), (+ residual) (+ Y)
//
// W is read once for all ROWS rows (a constant, at least M). LANES neighbouring threads share the sum over K of a result,
// so that a workgroup reads OUTPUTS rows of W in long stretches. Parameters and bindings are matmul.wgsl's.
//
// DIRECT: for adapters that compute on the CPU; a thread makes four results of every row by itself. NF4_BLOCKS: rows are
// whole blocks of 64 values.
//#include product
//#if DIRECT
//#include weight
//#else
//#include raw_weight
//#endif

// A row beyond the last stands for it; its result is dropped.
fn row_of(r: u32) -> u32 { return min(r, p.M - 1u); }

fn load_x(r: u32, k: u32) -> vec4f { return x[(p.x_offset + row_of(r) * p.ldx + k) >> 2u]; }

//#if LORA
fn low_rank(r: u32, n: u32) -> vec4f {
  let last = p.N - 1u;
  let at = p.v_offset + min(vec4u(n, n + 1u, n + 2u, n + 3u), vec4u(last)) * p.ldv;
  var sum = vec4f();
  for (var j = 0u; j < p.rank; j += 4u) {
    let a = u[(p.u_offset + r * p.ldu + j) >> 2u];
    let q = (at + j) >> vec4u(2u);
    sum += vec4f(dot(a, v[q.x]), dot(a, v[q.y]), dot(a, v[q.z]), dot(a, v[q.w]));
  }
  return sum;
}
//#endif

fn write(r: u32, n: u32, product: vec4f) {
  var value = p.alpha * product;
  //#if LORA
  value += low_rank(r, n);
  //#endif
  //#if COLUMN_SCALE
  value *= column_scale[(p.s_offset + n) >> 2u];
  //#endif
  //#if RESIDUAL
  value += residual[(p.r_offset + r * p.ldr + n) >> 2u];
  //#endif
  let at = (p.y_offset + r * p.ldy + n) >> 2u;
  if (p.accumulate != 0u) { value += y[at]; }
  y[at] = value;
}

//#if DIRECT
@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x * 4u;
  if (n >= p.N) { return; }
  let at = p.w_offset + min(vec4u(n, n + 1u, n + 2u, n + 3u), vec4u(p.N - 1u)) * p.ldw;
  var acc: array<vec4f, ROWS>;
  //#if NF4_BLOCKS
  var code: array<f32, 16>;
  for (var i = 0u; i < 16u; i++) { code[i] = nf4_value(i); }
  for (var block = 0u; block < p.K; block += 64u) {
    let blocks = (at + block + p.nested_first) >> vec4u(6u);
    let factor = vec4f(
      load_absmax(blocks.x), load_absmax(blocks.y), load_absmax(blocks.z), load_absmax(blocks.w));
    for (var k = block; k < block + 64u; k += 8u) {
      let words = (at + k) >> vec4u(3u);
      var bits = vec4u(w[words.x], w[words.y], w[words.z], w[words.w]);
      for (var half = 0u; half < 8u; half += 4u) {
        let high = (bits >> vec4u(4u)) & vec4u(15u);
        let low = bits & vec4u(15u);
        let high2 = (bits >> vec4u(12u)) & vec4u(15u);
        let low2 = (bits >> vec4u(8u)) & vec4u(15u);
        // The weights k .. k + 3 of the four rows, times their blocks' absmax.
        let b0 = factor * vec4f(code[high.x], code[high.y], code[high.z], code[high.w]);
        let b1 = factor * vec4f(code[low.x], code[low.y], code[low.z], code[low.w]);
        let b2 = factor * vec4f(code[high2.x], code[high2.y], code[high2.z], code[high2.w]);
        let b3 = factor * vec4f(code[low2.x], code[low2.y], code[low2.z], code[low2.w]);
        let b = mat4x4f(b0, b1, b2, b3);
        for (var r = 0u; r < ROWS; r++) { acc[r] += b * load_x(r, k + half); }
        bits = bits >> vec4u(16u);
      }
    }
  }
  //#else
  for (var k = 0u; k < p.K; k += 4u) {
    let b = mat4x4f(
      load_weight4(at.x + k), load_weight4(at.y + k), load_weight4(at.z + k), load_weight4(at.w + k));
    for (var r = 0u; r < ROWS; r++) { acc[r] += load_x(r, k) * b; }
  }
  //#endif
  for (var r = 0u; r < min(ROWS, p.M); r++) { write(r, n, acc[r]); }
}
//#else
var<workgroup> sums: array<f32, ROWS * THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let n0 = (group.x + group.y * 65535u) * OUTPUTS;
  if (n0 >= p.N) { return; }
  let lane = thread % LANES;
  let row = p.w_offset + min(n0 + thread / LANES, p.N - 1u) * p.ldw;
  prepare_weights(thread);
  var acc: array<f32, ROWS>;
  for (var k = lane * ITEM; k < p.K; k += LANES * ITEM) {
    //#if NF4_WIDE
    let bits = w[(row + k) >> 3u];
    let factor = load_absmax((row + k + p.nested_first) >> 6u);
    let low = factor * decode_nibbles(bits);
    let high = factor * decode_nibbles(bits >> 16u);
    for (var r = 0u; r < ROWS; r++) { acc[r] += dot(low, load_x(r, k)) + dot(high, load_x(r, k + 4u)); }
    //#else
    let value = decode_weight4(fetch_weight4(row + k));
    for (var r = 0u; r < ROWS; r++) { acc[r] += dot(value, load_x(r, k)); }
    //#endif
  }
  for (var r = 0u; r < ROWS; r++) { sums[r * THREADS + thread] = acc[r]; }
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      for (var r = 0u; r < ROWS; r++) { sums[r * THREADS + thread] += sums[r * THREADS + thread + half]; }
    }
    workgroupBarrier();
  }
  for (var i = thread; i < min(ROWS, p.M) * (OUTPUTS / 4u); i += THREADS) {
    let r = i / (OUTPUTS / 4u);
    let n = 4u * (i % (OUTPUTS / 4u));
    if (n0 + n >= p.N) { continue; }
    let at = r * THREADS + n * LANES;
    write(r, n0 + n, vec4f(sums[at], sums[at + LANES], sums[at + 2u * LANES], sums[at + 3u * LANES]));
  }
}
//#endif
