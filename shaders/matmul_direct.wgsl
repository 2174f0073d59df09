// matmul.wgsl without workgroup memory, for adapters that compute on the CPU: there a barrier costs more than the loads
// it saves. Same parameters, bindings and variants; a thread makes 4 QUADS rows of 4 columns.
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

fn write(result: vec4f, m: u32, n: u32) {
  var value = result;
  //#if COLUMN_SCALE
  value *= column_scale[(p.s_offset + n) >> 2u];
  //#endif
  //#if RESIDUAL
  value += residual[(p.r_offset + m * p.ldr + n) >> 2u];
  //#endif
  let at = (p.y_offset + m * p.ldy + n) >> 2u;
  if (p.accumulate != 0u) { value += y[at]; }
  y[at] = value;
}

@compute @workgroup_size(THREADS_N, THREADS_M)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let m = id.y * (4u * QUADS);
  let n = id.x * 4u;
  if (m >= p.M || n >= p.N) { return; }
  // Named blocks of four rows: an array would not stay in registers. Those beyond M are made as well, but not stored.
  //#repeat q QUADS
  var acc$q = mat4x4f();
  //#end
  //#if A_ROWS_K
  let last = (p.M - 1u) >> 2u;
  //#repeat q QUADS
  let x$q = min((m >> 2u) + $qu, last);
  //#end
  for (var k = 0u; k < p.K; k++) {
    let row = (p.x_offset + k * p.ldx) >> 2u;
    let b = load_weight4(p.w_offset + k * p.ldw + n);
    //#repeat q QUADS
    acc$q += outer(x[row + x$q], b);
    //#end
  }
  //#else
  //#repeat q QUADS
  let x$q = row_offsets(m + 4u * $qu, p.x_offset, p.ldx);
  //#end
  for (var k = 0u; k < p.K; k += 4u) {
    let b = load_b(n, k);
    //#repeat q QUADS
    acc$q += product(load_x(x$q, k), b);
    //#end
  }
  //#endif
  // One after the other, since twice the code takes a driver on the CPU more than twice as long to compile.
  let blocks = array(
    //#repeat q QUADS
    acc$q,
    //#end
  );
  for (var first = m; first < min(m + 4u * QUADS, p.M); first += 4u) {
    var block = p.alpha * blocks[(first - m) >> 2u];
    //#if LORA
    let at = row_offsets(first, p.u_offset, p.ldu);
    for (var k = 0u; k < p.rank; k += 4u) { block += product(load_u(at, k), load_v(n, k)); }
    //#endif
    for (var i = 0u; i < 4u && first + i < p.M; i++) { write(block[i], first + i, n); }
  }
}
