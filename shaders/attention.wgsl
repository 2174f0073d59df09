// Causal grouped-query attention over packed runs with a shared prefix, flash style: scores never leave the workgroup.
// One workgroup makes one tile of queries of one head. Saves lse = log Σ exp(score) per query for the backward.
//#include attention_tile

@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

// Threads that share a row of scores in the softmax; each keeps the row's maximum and its own share of the sum.
const SHARES = THREADS / TILE;

var<workgroup> row_part: array<f32, SHARES * TILE>;
var<workgroup> row_scale: array<f32, TILE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = tiles[group.x];
  let head = group.y;
  let kv_head = head / (p.heads / p.kv_heads);
  let end = tile.start + tile.count;
  let tx = thread_x(thread);
  let ty = thread_y(thread);
  let soft_row = thread % TILE;
  let share = thread / TILE % SHARES;
  var row_max = MASKED;
  var row_sum = 0.0;
  var acc = Wide();
  for (var segment = 0u; segment < 2u; segment++) {
    let first = select(tile.run_start, tile.prefix_start, segment == 0u);
    let last = select(end, tile.prefix_end, segment == 0u);
    for (var k0 = first; k0 < last; k0 += TILE) {
      var scores = Accumulators();
      for (var d = 0u; d < WIDE; d += DK / 4u) {
        stage_qkv_a(tile.start, end, q_column(head) + d, thread);
        stage_qkv_b(k0, last, k_column(kv_head) + d, thread);
        workgroupBarrier();
        accumulate(&scores, tx, ty, 0u, BK / GROUP);
        workgroupBarrier();
      }
      for (var r = 0u; r < TM; r++) {
        let q = tile.start + own_row(ty, r);
        for (var c = 0u; c < 4u; c++) {
          let k = k0 + tx * 4u + c;
          let seen = k < last && (segment == 0u || k <= q);
          scores[r][c] = select(MASKED, scores[r][c] * p.scale, seen);
        }
      }
      store_block(&scores, tx, ty);
      workgroupBarrier();
      var top = row_max;
      for (var c = share; c < TILE; c += SHARES) {
        top = max(top, block[c % TILE * BLOCK_STRIDE + soft_row / 4u][soft_row % 4u]);
      }
      row_part[share * TILE + soft_row] = top;
      workgroupBarrier();
      for (var i = 0u; i < SHARES; i++) { top = max(top, row_part[i * TILE + soft_row]); }
      let scale = exp(row_max - top);
      var sum = 0.0;
      for (var c = share; c < TILE; c += SHARES) {
        let at = c % TILE * BLOCK_STRIDE + soft_row / 4u;
        let s = block[at][soft_row % 4u];
        let e = select(exp(s - top), 0.0, s <= MASKED);
        block[at][soft_row % 4u] = e;
        sum += e;
      }
      row_max = top;
      row_sum = row_sum * scale + sum;
      if (share == 0u) { row_scale[soft_row] = scale; }
      workgroupBarrier();
      for (var r = 0u; r < TM; r++) {
        for (var j = 0u; j < COLS; j++) { acc[r * COLS + j] *= row_scale[own_row(ty % TY, r)]; }
      }
      for (var k = 0u; k < TILE; k += WIDE_ROWS) {
        stage_wide_qkv(k0 + k, last, v_column(kv_head), thread);
        workgroupBarrier();
        accumulate_wide(&acc, k, tx, ty);
        workgroupBarrier();
      }
    }
  }
  row_part[share * TILE + soft_row] = row_sum;
  workgroupBarrier();
  for (var i = 1u; i < SHARES; i++) { row_sum += select(row_part[i * TILE + soft_row], 0.0, share > 0u); }
  if (share == 0u) {
    row_scale[soft_row] = 1.0 / row_sum;
    if (soft_row < tile.count) { lse[(tile.start + soft_row) * p.heads + head] = row_max + log(row_sum); }
  }
  workgroupBarrier();
  for (var r = 0u; r < TM; r++) {
    let row = own_row(ty % TY, r);
    if (row >= tile.count) { continue; }
    let t = tile.start + row;
    for (var j = 0u; j < COLS; j++) {
      let column = tx + j * TX;
      if (column < WIDE) { out[(t * p.heads + head) * WIDE + column] = acc[r * COLS + j] * row_scale[row]; }
    }
  }
}
