// Shared by the backward kernels of attention: their bindings, staging of the outputs' gradient, and the wide product with rows
// that are still there from `multiply`.
@group(0) @binding(3) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_qkv: array<vec4f>;

fn load_d_out(row: u32, end: u32, column: u32) -> vec4f {
  if (row >= end) { return vec4f(); }
  return d_out[row * p.heads * WIDE + column];
}

fn stage_d_out_a(at: u32, row0: u32, end: u32, column: u32, thread: u32) {
  var values: Fetched;
  for (var l = 0u; l < A_FETCHES; l++) {
    let i = thread + l * THREADS;
    values[l] = load_d_out(row0 + i / DQ, end, column + i % DQ);
  }
  put_a(&values, at, thread);
}

fn stage_d_out_b(at: u32, row0: u32, end: u32, column: u32, thread: u32) {
  var values: Fetched;
  for (var l = 0u; l < B_FETCHES; l++) {
    let i = thread + l * THREADS;
    values[l] = load_d_out(row0 + i / DQ, end, column + i % DQ);
  }
  put_b(&values, at, thread);
}

fn stage_d_out_wide(at: u32, row0: u32, end: u32, column: u32, thread: u32) {
  var values: Fetched;
  for (var l = 0u; l < WIDE_FETCHES; l++) {
    let i = thread + l * THREADS;
    values[l] = load_d_out(row0 + i / WIDE, end, column + i % WIDE);
  }
  put_wide(&values, at, thread);
}

// acc += weights * the BN rows whose CHUNKS chunks put_b left at `b_at`: BOTH products read one copy.
fn multiply_staged(acc: ptr<function, Wide>, w_at: u32, b_at: u32, tx: u32, ty: u32) {
  const unrolled = min(WQ, UNROLL / 4u);
  for (var g = 0u; g < p.staged_groups; g++) {
    for (var u = 0u; u < unrolled; u++) {
      let kq = g % (WQ / unrolled) * unrolled + u;
      var w: array<vec4f, TM>;
      for (var i = 0u; i < TM; i++) { w[i] = memory[w_at + place_weight(ty % TY + i * TY, kq)]; }
      for (var d = 0u; d < 4u; d++) {
        for (var j = 0u; j < COLS; j++) {
          let column = tx % TX + j * TX;
          if (WIDE % TX == 0u || column < WIDE) {
            let b = memory[b_at + column / DQ % CHUNKS * B_CHUNK + place_b(kq * 4u + d, column % DQ)];
            for (var i = 0u; i < TM; i++) { (*acc)[i * COLS + j] += w[i][d] * b; }
          }
        }
      }
    }
  }
}
