// Shared parts of the attention kernels. A workgroup owns TILE rows of one run (queries forward and for dQ, keys for
// dK and dV) and walks over tiles of the other side.
//
// Two products do all the work: `accumulate` over the head dimension (DK values at a time) gives a TILE x TILE block of
// scores, and `accumulate_wide` multiplies such a block, kept in `block`, with TILE rows of HEAD_DIM values.
struct Params {
  heads: u32, kv_heads: u32, ld: u32, scale: f32,
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

//#include product_tile

const MASKED = -1e30;
const WIDE = HEAD_DIM / 4u;
const WIDE_ROWS = select(8u, 16u, HEAD_DIM <= 64u);
const COLS = (WIDE + TX - 1u) / TX;
// Groups of four rows that a thread owns.
const ROW_GROUPS = TM / 4u;
const BLOCK_STRIDE = TILE / 4u + 1u;

// [column][row / 4] as vec4 along the rows.
var<workgroup> block: array<vec4f, TILE * BLOCK_STRIDE>;
var<workgroup> wide_tile: array<vec4f, WIDE_ROWS * WIDE>;

alias Wide = array<vec4f, TM * COLS>;

// Row of the tile that a thread's r-th row is.
fn own_row(ty: u32, r: u32) -> u32 { return (ty + (r / 4u) * TY) * 4u + r % 4u; }

fn q_column(head: u32) -> u32 { return head * WIDE; }
fn k_column(head: u32) -> u32 { return (p.heads + head) * WIDE; }
fn v_column(head: u32) -> u32 { return (p.heads + p.kv_heads + head) * WIDE; }

fn load_qkv(row: u32, end: u32, column: u32) -> vec4f {
  if (row >= end) { return vec4f(); }
  return qkv[row * (p.ld / 4u) + column];
}

// Stages DK values from `column` (in vec4) of the rows [row0, end) for `accumulate`.
fn stage_qkv_a(row0: u32, end: u32, column: u32, thread: u32) {
  for (var i = thread; i < DK * TILE / 16u; i += THREADS) {
    let kb = i % (DK / 4u);
    let r = row0 + 4u * (i / (DK / 4u));
    let c = column + kb;
    let t = transpose(mat4x4f(
      load_qkv(r, end, c), load_qkv(r + 1u, end, c), load_qkv(r + 2u, end, c), load_qkv(r + 3u, end, c)));
    for (var j = 0u; j < 4u; j++) { a_tile[(4u * kb + j) * A_STRIDE + i / (DK / 4u)] = t[j]; }
  }
}

fn stage_qkv_b(row0: u32, end: u32, column: u32, thread: u32) {
  for (var i = thread; i < DK * TILE / 16u; i += THREADS) {
    let kb = i % (DK / 4u);
    let r = row0 + 4u * (i / (DK / 4u));
    let c = column + kb;
    let t = transpose(mat4x4f(
      load_qkv(r, end, c), load_qkv(r + 1u, end, c), load_qkv(r + 2u, end, c), load_qkv(r + 3u, end, c)));
    for (var j = 0u; j < 4u; j++) { b_tile[(4u * kb + j) * B_STRIDE + i / (DK / 4u)] = t[j]; }
  }
}

// Puts down this thread's TM x 4 scores.
fn store_block(scores: ptr<function, Accumulators>, thread_x: u32, thread_y: u32) {
  for (var g = 0u; g < ROW_GROUPS; g++) {
    let t = transpose(mat4x4f((*scores)[4u * g], (*scores)[4u * g + 1u], (*scores)[4u * g + 2u], (*scores)[4u * g + 3u]));
    for (var c = 0u; c < 4u; c++) { block[(thread_x % TX * 4u + c) * BLOCK_STRIDE + thread_y % TY + g * TY] = t[c]; }
  }
}

// acc[TM rows of this thread][its columns] += block[rows][first .. first + WIDE_ROWS] * wide_tile
fn accumulate_wide(acc: ptr<function, Wide>, first: u32, thread_x: u32, thread_y: u32) {
  let at = first / WIDE_ROWS % (TILE / WIDE_ROWS) * (WIDE_ROWS * BLOCK_STRIDE) + thread_y % TY;
  for (var k = 0u; k < WIDE_ROWS; k++) {
    var s: array<vec4f, ROW_GROUPS>;
    for (var g = 0u; g < ROW_GROUPS; g++) { s[g] = block[k * BLOCK_STRIDE + at + g * TY]; }
    for (var j = 0u; j < COLS; j++) {
      let column = thread_x % TX + j * TX;
      if (WIDE % TX == 0u || column < WIDE) {
        let value = wide_tile[k * WIDE + column % WIDE];
        for (var g = 0u; g < ROW_GROUPS; g++) {
          for (var r = 0u; r < 4u; r++) { (*acc)[(4u * g + r) * COLS + j] += s[g][r] * value; }
        }
      }
    }
  }
}

fn stage_wide_qkv(row0: u32, end: u32, column: u32, thread: u32) {
  for (var i = thread; i < WIDE_ROWS * WIDE; i += THREADS) {
    wide_tile[i] = load_qkv(row0 + i / WIDE, end, column + i % WIDE);
  }
}
