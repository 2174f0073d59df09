// Filling the tiles of lib/product_tile.
//
// Items of 4 values, or ITEM of a weight, that a tile has, and that a thread brings.
const A_ITEMS = BM * BK / 4u;
const B_ITEMS = BN * BK / ITEM;
const V_ITEMS = BN * BK / 4u;
const A_LOADS = (A_ITEMS + THREADS - 1u) / THREADS;
const B_LOADS = (B_ITEMS + THREADS - 1u) / THREADS;
const V_LOADS = (V_ITEMS + THREADS - 1u) / THREADS;

// Item i of a tile whose source runs along k: its row, and its place along k in items.
fn across(i: u32, item: u32) -> u32 { return i / (BK / item); }
fn along(i: u32, item: u32) -> u32 { return i % (BK / item); }

fn put_a_row(m: u32, kq: u32, stage: u32, value: vec4f) {
  if (A_ITEMS % THREADS != 0u && m >= BM) { return; }
  a_tile[(stage % STAGES) * A_SIZE + m % BM * A_STRIDE + kq % KQ] = value;
}

fn put_a(k: u32, column: u32, stage: u32, value: vec4f) {
  if (A_ITEMS % THREADS != 0u && k >= BK) { return; }
  a_tile[(stage % STAGES) * A_SIZE + k % BK * A_STRIDE + column % (BM / 4u)] = value;
}

//#if B_ROWS_N
fn put_b_row(n: u32, kq: u32, stage: u32, value: vec4f) {
  if (n >= BN) { return; }
  b_tile[(stage % STAGES) * B_SIZE + n % 4u * B_GROUP + n / 4u % (BN / 4u) * B_STRIDE + kq % KQ] = value;
}
//#else
fn put_b(k: u32, column: u32, stage: u32, value: vec4f) {
  if (k >= BK) { return; }
  b_tile[(stage % STAGES) * B_SIZE + k % BK * B_STRIDE + column % (BN / 4u)] = value;
}
//#endif
