// Shared parts of the attention kernels. A workgroup owns BM rows of one run (queries forward and for dQ, keys for dK and
// dV) and walks over the other side, BN at a time.
//
// Two products do all the work. `multiply` goes along the head dimension and gives BM x BN scores; both operands lie in
// workgroup memory as they do in the buffers, a row's values as vec4, DC of them at a time. The scores, or what is made
// of them, are put down as BM rows of BN weights, and `multiply_wide` multiplies those with BN rows of HEAD_DIM values. A thread
// has rows ty + i * TY of both results, of scores the columns (tx + j * TX) * 4 .. + 3, of wide results the vec4 tx + j * TX.
//
// vec4 c of a row lies at c ^ (row % 8): neighbouring threads that read one column of neighbouring rows meet
// different banks, without the padding that would not fit beside three tiles of 16 KiB. Every index into workgroup memory is
// made of constants and remainders by constants: see lib/product_tile.
struct Params {
  heads: u32, kv_heads: u32, ld: u32, scale: f32,
  // Rounds of the three products: from here, so that the compiler keeps them loops.
  groups: u32, wide_groups: u32, staged_groups: u32,
}

// One tile: rows [start, start + count) of a run that begins at run_start. A query sees the keys
// [prefix_start, prefix_end) and [run_start, itself]; a key is seen by the queries [itself, query_end).
struct Tile {
  start: u32, count: u32, prefix_start: u32, prefix_end: u32,
  run_start: u32, query_end: u32, unused0: u32, unused1: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<storage, read> tiles: array<Tile>;

const LOG2_E = 1.4426950408889634;
const TX = BN / TN;
const TY = BM / TM;
const THREADS = TX * TY;
const LANES_X = min(8u, TX);
const LANES_Y = min(4u, TY);
// Workgroups that share a tile of the table.
const PARTS = TILE / BM;
const WIDE = HEAD_DIM / 4u;
const DQ = DC / 4u;
const CHUNKS = WIDE / DQ;
const COLS = (WIDE + TX - 1u) / TX;
// vec4 of a row of weights.
const WQ = BN / 4u;
const A_CHUNK = BM * DQ;
const B_CHUNK = BN * DQ;
const WEIGHTS = BM * WQ;
const STAGED_ROWS = WIDE_ROWS * WIDE;
const TURN = min(8u, DQ);
const WEIGHT_TURN = min(8u, WQ);
const A_FETCHES = (A_CHUNK + THREADS - 1u) / THREADS;
const B_FETCHES = (B_CHUNK + THREADS - 1u) / THREADS;
const WIDE_FETCHES = (STAGED_ROWS + THREADS - 1u) / THREADS;
// vec4 along the inner dimension that are unrolled.
const GROUP = min(DQ, UNROLL / 4u);
const WIDE_GROUP = min(WIDE_ROWS / 4u, UNROLL / 4u);

alias Scores = array<vec4f, TM * TN / 4u>;
alias Wide = array<vec4f, TM * COLS>;
alias Fetched = array<vec4f, max(A_FETCHES, max(B_FETCHES, WIDE_FETCHES))>;

// Where a thread stands among the TX x TY: neighbours in blocks of LANES_X x LANES_Y.
fn thread_x(thread: u32) -> u32 {
  return (thread / (LANES_X * LANES_Y)) % (TX / LANES_X) * LANES_X + thread % LANES_X;
}
fn thread_y(thread: u32) -> u32 {
  return (thread / (LANES_Y * TX) * LANES_Y + thread / LANES_X % LANES_Y) % TY;
}

fn q_column(head: u32) -> u32 { return head * WIDE; }
fn k_column(head: u32) -> u32 { return (p.heads + head) * WIDE; }
fn v_column(head: u32) -> u32 { return (p.heads + p.kv_heads + head) * WIDE; }

fn load_qkv(row: u32, end: u32, column: u32) -> vec4f {
  if (row >= end) { return vec4f(); }
  return qkv[row * (p.ld / 4u) + column];
}

// Rows of the owned side.
fn place_a(row: u32, c: u32) -> u32 { return row % BM * DQ + (c ^ (row % TURN)) % DQ; }
// Rows of the walked side: those four that are neighbouring columns of a thread lie BN / 4 apart.
fn place_b(row: u32, c: u32) -> u32 {
  return (row % 4u * (BN / 4u) + row / 4u % (BN / 4u)) * DQ + (c ^ (row / 4u % TURN)) % DQ;
}
fn place_weight(row: u32, c: u32) -> u32 { return row % BM * WQ + (c ^ (row % WEIGHT_TURN)) % WQ; }

fn put_a(values: ptr<function, Fetched>, at: u32, thread: u32) {
  for (var l = 0u; l < A_FETCHES; l++) {
    let i = thread + l * THREADS;
    if (A_CHUNK % THREADS == 0u || i < A_CHUNK) { memory[at + place_a(i / DQ, i % DQ)] = (*values)[l]; }
  }
}

fn put_b(values: ptr<function, Fetched>, at: u32, thread: u32) {
  for (var l = 0u; l < B_FETCHES; l++) {
    let i = thread + l * THREADS;
    if (B_CHUNK % THREADS == 0u || i < B_CHUNK) { memory[at + place_b(i / DQ, i % DQ)] = (*values)[l]; }
  }
}

fn put_wide(values: ptr<function, Fetched>, at: u32, thread: u32) {
  for (var l = 0u; l < WIDE_FETCHES; l++) {
    let i = thread + l * THREADS;
    if (STAGED_ROWS % THREADS == 0u || i < STAGED_ROWS) { memory[at + i % STAGED_ROWS] = (*values)[l]; }
  }
}

// DC values of BM owned rows, of BN walked rows; all values of WIDE_ROWS walked rows. Rows from `end` on are zero.
fn fetch_qkv_a(values: ptr<function, Fetched>, row0: u32, end: u32, column: u32, thread: u32) {
  for (var l = 0u; l < A_FETCHES; l++) {
    let i = thread + l * THREADS;
    (*values)[l] = load_qkv(row0 + i / DQ, end, column + i % DQ);
  }
}

fn fetch_qkv_b(values: ptr<function, Fetched>, row0: u32, end: u32, column: u32, thread: u32) {
  for (var l = 0u; l < B_FETCHES; l++) {
    let i = thread + l * THREADS;
    (*values)[l] = load_qkv(row0 + i / DQ, end, column + i % DQ);
  }
}

fn fetch_qkv_wide(values: ptr<function, Fetched>, row0: u32, end: u32, column: u32, thread: u32) {
  for (var l = 0u; l < WIDE_FETCHES; l++) {
    let i = thread + l * THREADS;
    (*values)[l] = load_qkv(row0 + i / WIDE, end, column + i % WIDE);
  }
}

fn stage_qkv_a(at: u32, row0: u32, end: u32, column: u32, thread: u32) {
  var values: Fetched;
  fetch_qkv_a(&values, row0, end, column, thread);
  put_a(&values, at, thread);
}

fn stage_qkv_b(at: u32, row0: u32, end: u32, column: u32, thread: u32) {
  var values: Fetched;
  fetch_qkv_b(&values, row0, end, column, thread);
  put_b(&values, at, thread);
}

fn stage_qkv_wide(at: u32, row0: u32, end: u32, column: u32, thread: u32) {
  var values: Fetched;
  fetch_qkv_wide(&values, row0, end, column, thread);
  put_wide(&values, at, thread);
}

// acc += A Bᵀ over DC values of the head dimension.
fn multiply(acc: ptr<function, Scores>, a_at: u32, b_at: u32, tx: u32, ty: u32) {
  for (var g = 0u; g < p.groups; g++) {
    for (var u = 0u; u < GROUP; u++) {
      let c = g % (DQ / GROUP) * GROUP + u;
      var a: array<vec4f, TM>;
      for (var i = 0u; i < TM; i++) { a[i] = memory[a_at + place_a(ty % TY + i * TY, c)]; }
      for (var j = 0u; j < TN / 4u; j++) {
        for (var n = 0u; n < 4u; n++) {
          let b = memory[b_at + place_b((tx % TX + j * TX) * 4u + n, c)];
          for (var d = 0u; d < 4u; d++) {
            for (var i = 0u; i < TM; i++) { (*acc)[i * (TN / 4u) + j][n] += a[i][d] * b[d]; }
          }
        }
      }
    }
  }
}

fn put_weights(scores: ptr<function, Scores>, at: u32, tx: u32, ty: u32) {
  for (var i = 0u; i < TM; i++) {
    for (var j = 0u; j < TN / 4u; j++) {
      memory[at + place_weight(ty % TY + i * TY, tx % TX + j * TX)] = (*scores)[i * (TN / 4u) + j];
    }
  }
}

// acc += weights [BM rows][first .. first + WIDE_ROWS] * the WIDE_ROWS rows at `b_at`, as put_wide leaves them.
fn multiply_wide(acc: ptr<function, Wide>, w_at: u32, first: u32, b_at: u32, tx: u32, ty: u32) {
  for (var g = 0u; g < p.wide_groups; g++) {
    for (var u = 0u; u < WIDE_GROUP; u++) {
      let kq = g % (WIDE_ROWS / 4u / WIDE_GROUP) * WIDE_GROUP + u;
      var w: array<vec4f, TM>;
      for (var i = 0u; i < TM; i++) {
        w[i] = memory[w_at + place_weight(ty % TY + i * TY, first / 4u % WQ + kq)];
      }
      for (var d = 0u; d < 4u; d++) {
        for (var j = 0u; j < COLS; j++) {
          let column = tx % TX + j * TX;
          if (WIDE % TX == 0u || column < WIDE) {
            let b = memory[b_at + (kq * 4u + d) * WIDE + column % WIDE];
            for (var i = 0u; i < TM; i++) { (*acc)[i * COLS + j] += w[i][d] * b; }
          }
        }
      }
    }
  }
}
