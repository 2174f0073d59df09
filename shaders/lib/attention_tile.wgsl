// Shared parts of the attention kernels. A workgroup owns BM rows (queries forward and for dQ, keys for dK and dV) and walks
// over the other side, BN at a time. Queries of SHARE heads that read the same keys are owned together: row r is that of
// head r / TOKENS and token r % TOKENS, so that tall tiles waste little where a run begins and ends.
//
// Two products do all the work. attention_scores goes along the head dimension and gives BM x BN scores; both operands lie in
// workgroup memory as they do in the buffers, a row's values as vec4, DC of them at a time. The scores, or what is made
// of them, are put down as BM rows of BN weights, and attention_wide multiplies those with WALKED_ROWS rows of HEAD_DIM values at a
// time. Weights and walked rows take the place of the two operands. While one piece is multiplied, the next is on its way from
// memory into registers.
//
// What touches workgroup memory is text of main (the includes with a $h in them, for one product or for each of two): every
// index is written out from local_invocation_index and constants, or the WGSL compiler would clamp it.
struct Params {
  heads: u32, kv_heads: u32, ld: u32, scale: f32,
  // Rounds of the two products: from here, so that the compiler keeps them loops.
  groups: u32, wide_groups: u32,
}

//#include attention_input

const LOG2_E = 1.4426950408889634;
const TX = BN / TN;
const TY = BM / TM;
const THREADS = TX * TY;
// Neighbouring threads (a subgroup on most GPUs) make a block of BLOCK_ROWS x BLOCK_COLUMNS scores.
const LANES_X = min(8u, TX);
const LANES_Y = min(4u, TY);
const BLOCK_ROWS = TM * LANES_Y;
const BLOCK_COLUMNS = TN * LANES_X;
const TOKENS = BM / SHARE;
// Workgroups that share a tile of the table.
const PARTS = TILE / TOKENS;
// In vec4: a row, a chunk of it, a row of weights.
const WIDE = HEAD_DIM / 4u;
const DQ = DC / 4u;
const WQ = BN / 4u;
const CHUNKS = WIDE / DQ;
// vec4 of wide results of a thread in each of its rows.
const COLS = (WIDE + TX - 1u) / TX;
// Row r of A and of the weights lies in part r % LANES_Y, group r / 4 of four rows of B in part r / 4 % LANES_X: what neighbouring
// threads read at a time. The parts are a vec4 longer than their rows, so that those meet different banks.
const A_PART = BM / LANES_Y * DQ + 1u;
const B_PART = BN / LANES_X * DQ + 1u;
const W_PART = BM / LANES_Y * WQ + 1u;
const B_AT = LANES_Y * A_PART;
const WALKED_AT = LANES_Y * W_PART;
const A_ITEMS = BM * DQ;
const B_ITEMS = BN * DQ;
const WALKED_ITEMS = WALKED_ROWS * WIDE;
const A_FETCHES = (A_ITEMS + THREADS - 1u) / THREADS;
const B_FETCHES = (B_ITEMS + THREADS - 1u) / THREADS;
const WALKED_FETCHES = (WALKED_ITEMS + THREADS - 1u) / THREADS;
const MEMORY = max(B_AT + LANES_X * B_PART, WALKED_AT + WALKED_ITEMS);
// vec4 along the inner dimension that are unrolled.
const GROUP = min(DQ, UNROLL / 4u);
const WIDE_GROUP = min(WALKED_ROWS / 4u, UNROLL / 4u);

alias Scores = array<vec4f, TM * TN / 4u>;
alias Wide = array<vec4f, TM * COLS>;

var<workgroup> memory: array<vec4f, MEMORY>;

fn q_column(head: u32) -> u32 { return head * WIDE; }
fn k_column(head: u32) -> u32 { return (p.heads + head) * WIDE; }
fn v_column(head: u32) -> u32 { return (p.heads + p.kv_heads + head) * WIDE; }

fn load_qkv(row: u32, end: u32, column: u32) -> vec4f {
  if (row >= end) { return vec4f(); }
  return qkv[row * (p.ld / 4u) + column];
}
