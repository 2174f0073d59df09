// Causal grouped-query attention over packed runs with a shared prefix, flash style: scores never leave the workgroup.
// One workgroup makes one tile of queries of one head. Saves lse = log Σ exp(score) per query for the backward.
//#include attention_tile

@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

var<workgroup> row_max: array<f32, TILE>;
var<workgroup> row_sum: array<f32, TILE>;
var<workgroup> row_scale: array<f32, TILE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = tiles[group.x];
  let head = group.y;
  let kv_head = head / (p.heads / p.kv_heads);
  let end = tile.start + tile.count;
  let tx = thread % TX;
  let ty = thread / TX;
  for (var r = thread; r < TILE; r += THREADS) {
    row_max[r] = MASKED;
    row_sum[r] = 0.0;
  }
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
        accumulate(&scores, tx, ty);
        workgroupBarrier();
      }
      for (var r = 0u; r < 4u; r++) {
        let q = tile.start + ty * 4u + r;
        for (var c = 0u; c < 4u; c++) {
          let k = k0 + tx * 4u + c;
          let seen = k < last && (segment == 0u || k <= q);
          scores[r][c] = select(MASKED, scores[r][c] * p.scale, seen);
        }
      }
      store_block(&scores, tx, ty);
      workgroupBarrier();
      for (var r = thread; r < TILE; r += THREADS) {
        let old = row_max[r];
        var top = old;
        for (var c = 0u; c < TILE; c++) { top = max(top, block[r * BLOCK_STRIDE + c]); }
        var sum = 0.0;
        for (var c = 0u; c < TILE; c++) {
          let s = block[r * BLOCK_STRIDE + c];
          let e = select(exp(s - top), 0.0, s <= MASKED);
          block[r * BLOCK_STRIDE + c] = e;
          sum += e;
        }
        let scale = exp(old - top);
        row_max[r] = top;
        row_sum[r] = row_sum[r] * scale + sum;
        row_scale[r] = scale;
      }
      workgroupBarrier();
      for (var r = 0u; r < 4u; r++) {
        for (var j = 0u; j < COLS; j++) { acc[r * COLS + j] *= row_scale[ty * 4u + r]; }
      }
      for (var k = 0u; k < TILE; k += WIDE_ROWS) {
        stage_wide_qkv(k0 + k, last, v_column(kv_head), thread);
        workgroupBarrier();
        accumulate_wide(&acc, k, tx, ty);
        workgroupBarrier();
      }
    }
  }
  for (var r = 0u; r < 4u; r++) {
    let row = ty * 4u + r;
    if (row >= tile.count) { continue; }
    let t = tile.start + row;
    for (var j = 0u; j < COLS; j++) {
      let column = tx + j * TX;
      if (column < WIDE) { out[(t * p.heads + head) * WIDE + column] = acc[r * COLS + j] / row_sum[row]; }
    }
    if (tx == 0u) { lse[t * p.heads + head] = row_max[row] + log(row_sum[row]); }
  }
}
