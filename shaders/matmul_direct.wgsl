// matmul.wgsl without workgroup memory, for adapters that compute on the CPU: there a barrier costs more than the loads
// it saves. Same parameters, bindings and variants; a thread makes a 16 x 4 block.
//#include product
//#include weight

// Rows of the block by columns: what four rows of A and a 4 x 4 block of B add.
fn product(a: mat4x4f, b: mat4x4f) -> mat4x4f {
  return mat4x4f(b * a[0], b * a[1], b * a[2], b * a[3]);
}

// Where the four rows from m on begin; rows beyond the last stand for it.
fn row_offsets(m: u32, offset: u32, ld: u32) -> vec4u {
  return offset + min(vec4u(m, m + 1u, m + 2u, m + 3u), vec4u(p.M - 1u)) * ld;
}

fn load_x(at: vec4u, k: u32) -> mat4x4f {
  return mat4x4f(x[(at.x + k) >> 2u], x[(at.y + k) >> 2u], x[(at.z + k) >> 2u], x[(at.w + k) >> 2u]);
}

//#if A_ROWS_K
fn outer(a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(a.x * b, a.y * b, a.z * b, a.w * b);
}
//#endif

// B's rows k .. k + 3, columns n .. n + 3.
fn load_b(n: u32, k: u32) -> mat4x4f {
  //#if B_ROWS_N
  let last = p.N - 1u;
  return transpose(mat4x4f(
    load_weight4(p.w_offset + n * p.ldw + k),
    load_weight4(p.w_offset + min(n + 1u, last) * p.ldw + k),
    load_weight4(p.w_offset + min(n + 2u, last) * p.ldw + k),
    load_weight4(p.w_offset + min(n + 3u, last) * p.ldw + k)));
  //#else
  var b = mat4x4f();
  for (var i = 0u; i < 4u; i++) {
    if (k + i < p.K) { b[i] = load_weight4(p.w_offset + (k + i) * p.ldw + n); }
  }
  return b;
  //#endif
}

//#if LORA
fn load_u(at: vec4u, k: u32) -> mat4x4f {
  return mat4x4f(u[(at.x + k) >> 2u], u[(at.y + k) >> 2u], u[(at.z + k) >> 2u], u[(at.w + k) >> 2u]);
}

fn load_v(n: u32, k: u32) -> mat4x4f {
  //#if B_ROWS_N
  let at = p.v_offset + min(vec4u(n, n + 1u, n + 2u, n + 3u), vec4u(p.N - 1u)) * p.ldv + k;
  return transpose(mat4x4f(v[at.x >> 2u], v[at.y >> 2u], v[at.z >> 2u], v[at.w >> 2u]));
  //#else
  let at = p.v_offset + k * p.ldv + n;
  return mat4x4f(v[at >> 2u], v[(at + p.ldv) >> 2u], v[(at + 2u * p.ldv) >> 2u], v[(at + 3u * p.ldv) >> 2u]);
  //#endif
}
//#endif

fn write(acc: mat4x4f, m: u32, n: u32) {
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

@compute @workgroup_size(THREADS_N, THREADS_M)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let m = id.y * 16u;
  let n = id.x * 4u;
  if (m >= p.M || n >= p.N) { return; }
  // Four named blocks: an array would not stay in registers.
  var acc0 = mat4x4f();
  var acc1 = mat4x4f();
  var acc2 = mat4x4f();
  var acc3 = mat4x4f();
  //#if A_ROWS_K
  for (var k = 0u; k < p.K; k++) {
    let a = (p.x_offset + k * p.ldx + m) >> 2u;
    let b = load_weight4(p.w_offset + k * p.ldw + n);
    acc0 += outer(x[a], b);
    if (m + 4u < p.M) { acc1 += outer(x[a + 1u], b); }
    if (m + 8u < p.M) { acc2 += outer(x[a + 2u], b); }
    if (m + 12u < p.M) { acc3 += outer(x[a + 3u], b); }
  }
  //#else
  let x0 = row_offsets(m, p.x_offset, p.ldx);
  let x1 = row_offsets(m + 4u, p.x_offset, p.ldx);
  let x2 = row_offsets(m + 8u, p.x_offset, p.ldx);
  let x3 = row_offsets(m + 12u, p.x_offset, p.ldx);
  for (var k = 0u; k < p.K; k += 4u) {
    let b = load_b(n, k);
    acc0 += product(load_x(x0, k), b);
    if (m + 4u < p.M) { acc1 += product(load_x(x1, k), b); }
    if (m + 8u < p.M) { acc2 += product(load_x(x2, k), b); }
    if (m + 12u < p.M) { acc3 += product(load_x(x3, k), b); }
  }
  //#endif
  acc0 = p.alpha * acc0;
  acc1 = p.alpha * acc1;
  acc2 = p.alpha * acc2;
  acc3 = p.alpha * acc3;
  //#if LORA
  let u0 = row_offsets(m, p.u_offset, p.ldu);
  let u1 = row_offsets(m + 4u, p.u_offset, p.ldu);
  let u2 = row_offsets(m + 8u, p.u_offset, p.ldu);
  let u3 = row_offsets(m + 12u, p.u_offset, p.ldu);
  for (var k = 0u; k < p.rank; k += 4u) {
    let b = load_v(n, k);
    acc0 += product(load_u(u0, k), b);
    acc1 += product(load_u(u1, k), b);
    acc2 += product(load_u(u2, k), b);
    acc3 += product(load_u(u3, k), b);
  }
  //#endif
  write(acc0, m, n);
  write(acc1, m + 4u, n);
  write(acc2, m + 8u, n);
  write(acc3, m + 12u, n);
}
