// Shared by the backward kernels of attention: their bindings, and staging of the outputs' gradient for `accumulate`, as
// rows (OUT_ROWS: dQ) or as columns (dK and dV).
@group(0) @binding(3) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_qkv: array<vec4f>;

fn load_d_out(row: u32, end: u32, column: u32) -> vec4f {
  if (row >= end) { return vec4f(); }
  return d_out[row * p.heads * WIDE + column];
}

//#if OUT_ROWS
fn stage_d_out_a(row0: u32, end: u32, column: u32, thread: u32) {
  for (var i = thread; i < DK * TILE / 16u; i += THREADS) {
    let kb = i % (DK / 4u);
    let r = row0 + 4u * (i / (DK / 4u));
    let c = column + kb;
    let t = transpose(mat4x4f(
      load_d_out(r, end, c), load_d_out(r + 1u, end, c), load_d_out(r + 2u, end, c), load_d_out(r + 3u, end, c)));
    for (var j = 0u; j < 4u; j++) { a_tile[(4u * kb + j) * A_STRIDE + i / (DK / 4u)] = t[j]; }
  }
}
//#else
fn stage_d_out_b(row0: u32, end: u32, column: u32, thread: u32) {
  for (var i = thread; i < DK * TILE / 16u; i += THREADS) {
    let kb = i % (DK / 4u);
    let r = row0 + 4u * (i / (DK / 4u));
    let c = column + kb;
    let t = transpose(mat4x4f(
      load_d_out(r, end, c), load_d_out(r + 1u, end, c), load_d_out(r + 2u, end, c), load_d_out(r + 3u, end, c)));
    for (var j = 0u; j < 4u; j++) { b_tile[(4u * kb + j) * B_STRIDE + i / (DK / 4u)] = t[j]; }
  }
}
//#endif
