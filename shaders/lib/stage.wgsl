// Filling the tiles of lib/accumulate. A thread handles items of neighbouring values of the source: 4, or ITEM of a
// weight. Where the source runs along the tile's second axis an item is put down as it is; where it runs along k it is
// turned: its values go to as many rows. Subgroups then take items from SPAN rows of the source, so that what they write
// falls into different banks.
const A_ITEMS = BM * BK / 4u;
const B_ITEMS = BN * BK / ITEM;
const V_ITEMS = BN * BK / 4u;
const A_LOADS = (A_ITEMS + THREADS - 1u) / THREADS;
const B_LOADS = (B_ITEMS + THREADS - 1u) / THREADS;
const V_LOADS = (V_ITEMS + THREADS - 1u) / THREADS;
const SPAN_A = min(BM, 16u);
const SPAN_B = min(BN, ITEM * 4u);
const SPAN_V = min(BN, 16u);

// Row of the source (along the tile's second axis) of item i, and the item's place along k.
fn across(i: u32, span: u32, item: u32) -> u32 { return i % span + i / (span * (BK / item)) * span; }
fn along(i: u32, span: u32, item: u32) -> u32 { return i / span % (BK / item); }

fn put_a(k: u32, column: u32, stage: u32, value: vec4f) {
  if (A_ITEMS % THREADS != 0u && k >= BK) { return; }
  a_tile[(stage % STAGES) * (BK * A_STRIDE) + (k % BK) * A_STRIDE + column % (BM / 4u)] = value;
}

fn put_b(k: u32, column: u32, stage: u32, value: vec4f) {
  if (k >= BK) { return; }
  b_tile[(stage % STAGES) * (BK * B_STRIDE) + (k % BK) * B_STRIDE + column % (BN / 4u)] = value;
}

fn turn_a(i: u32, stage: u32, value: vec4f) {
  let row = across(i, SPAN_A, 4u);
  if (A_ITEMS % THREADS != 0u && row >= BM) { return; }
  let k = 4u * (along(i, SPAN_A, 4u) % (BK / 4u));
  let at = (stage % STAGES) * (BK * A_STRIDE) + row / 4u % (BM / 4u);
  for (var c = 0u; c < 4u; c++) { a_tile[at + (k + c) * A_STRIDE][row % 4u] = value[c]; }
}

// `quad`: which four values of the item these are.
fn turn_b(i: u32, quad: u32, span: u32, item: u32, stage: u32, value: vec4f) {
  let row = across(i, span, item);
  if (row >= BN) { return; }
  let k = 4u * ((item / 4u * along(i, span, item) + quad) % (BK / 4u));
  let at = (stage % STAGES) * (BK * B_STRIDE) + row / 4u % (BN / 4u);
  for (var c = 0u; c < 4u; c++) { b_tile[at + (k + c) * B_STRIDE][row % 4u] = value[c]; }
}
