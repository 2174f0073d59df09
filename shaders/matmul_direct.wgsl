// matmul.wgsl without workgroup memory, for adapters that compute on the CPU: there a barrier costs more than the loads
// it saves. Same parameters, bindings and variants; a thread makes a 4 x 4 block.
struct Params {
  M: u32, N: u32, K: u32,
  ldx: u32, x_offset: u32,
  ldw: u32, w_offset: u32,
  ldy: u32, y_offset: u32,
  ldr: u32, r_offset: u32,
  rank: u32, ldu: u32, u_offset: u32, ldv: u32, v_offset: u32,
  alpha: f32, accumulate: u32, s_offset: u32,
  nested_blocks: u32, nested_offset: f32, nested_first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
//#include weight
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
//#if LORA
@group(0) @binding(5) var<storage, read> u: array<vec4f>;
@group(0) @binding(6) var<storage, read> v: array<vec4f>;
//#endif
//#if RESIDUAL
@group(0) @binding(7) var<storage, read> residual: array<vec4f>;
//#endif
//#if COLUMN_SCALE
@group(0) @binding(8) var<storage, read> column_scale: array<vec4f>;
//#endif

// Rows of the block by columns: what four rows of A and a 4 x 4 block of B add.
fn product(a: mat4x4f, b: mat4x4f) -> mat4x4f {
  return mat4x4f(b * a[0], b * a[1], b * a[2], b * a[3]);
}

@compute @workgroup_size(THREADS_N, THREADS_M)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let m = id.y * 4u;
  let n = id.x * 4u;
  if (m >= p.M || n >= p.N) { return; }
  let m_last = p.M - 1u;
  var acc = mat4x4f();
  //#if A_ROWS_K
  for (var k = 0u; k < p.K; k++) {
    let a = x[(p.x_offset + k * p.ldx + m) >> 2u];
    let b = load_weight4(p.w_offset + k * p.ldw + n);
    acc += mat4x4f(a.x * b, a.y * b, a.z * b, a.w * b);
  }
  //#else
  let x0 = p.x_offset + m * p.ldx;
  let x1 = p.x_offset + min(m + 1u, m_last) * p.ldx;
  let x2 = p.x_offset + min(m + 2u, m_last) * p.ldx;
  let x3 = p.x_offset + min(m + 3u, m_last) * p.ldx;
  for (var k = 0u; k < p.K; k += 4u) {
    let a = mat4x4f(x[(x0 + k) >> 2u], x[(x1 + k) >> 2u], x[(x2 + k) >> 2u], x[(x3 + k) >> 2u]);
    //#if B_ROWS_N
    let n_last = p.N - 1u;
    let b = transpose(mat4x4f(
      load_weight4(p.w_offset + n * p.ldw + k),
      load_weight4(p.w_offset + min(n + 1u, n_last) * p.ldw + k),
      load_weight4(p.w_offset + min(n + 2u, n_last) * p.ldw + k),
      load_weight4(p.w_offset + min(n + 3u, n_last) * p.ldw + k)));
    //#else
    var b = mat4x4f();
    for (var i = 0u; i < 4u; i++) {
      if (k + i < p.K) { b[i] = load_weight4(p.w_offset + (k + i) * p.ldw + n); }
    }
    //#endif
    acc += product(a, b);
  }
  //#endif
  acc = p.alpha * acc;
  //#if LORA
  let u0 = p.u_offset + m * p.ldu;
  let u1 = p.u_offset + min(m + 1u, m_last) * p.ldu;
  let u2 = p.u_offset + min(m + 2u, m_last) * p.ldu;
  let u3 = p.u_offset + min(m + 3u, m_last) * p.ldu;
  for (var k = 0u; k < p.rank; k += 4u) {
    let a = mat4x4f(u[(u0 + k) >> 2u], u[(u1 + k) >> 2u], u[(u2 + k) >> 2u], u[(u3 + k) >> 2u]);
    //#if B_ROWS_N
    let n_end = p.N - 1u;
    let b = transpose(mat4x4f(
      v[(p.v_offset + n * p.ldv + k) >> 2u],
      v[(p.v_offset + min(n + 1u, n_end) * p.ldv + k) >> 2u],
      v[(p.v_offset + min(n + 2u, n_end) * p.ldv + k) >> 2u],
      v[(p.v_offset + min(n + 3u, n_end) * p.ldv + k) >> 2u]));
    //#else
    let at = p.v_offset + k * p.ldv + n;
    let b = mat4x4f(v[at >> 2u], v[(at + p.ldv) >> 2u], v[(at + 2u * p.ldv) >> 2u], v[(at + 3u * p.ldv) >> 2u]);
    //#endif
    acc += product(a, b);
  }
  //#endif
  for (var i = 0u; i < 4u && m + i < p.M; i++) {
    var value = acc[i];
    //#if COLUMN_SCALE
    value *= column_scale[(p.s_offset + n) >> 2u];
    //#endif
    //#if RESIDUAL
    value += residual[(p.r_offset + (m + i) * p.ldr + n) >> 2u];
    //#endif
    let at = (p.y_offset + (m + i) * p.ldy + n) >> 2u;
    if (p.accumulate != 0u) { value += y[at]; }
    y[at] = value;
  }
}
