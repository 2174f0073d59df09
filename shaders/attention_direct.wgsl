// attention.wgsl and its backwards without workgroup memory, for adapters that compute on the CPU, where barriers cost
// more than loads. A thread makes one query (forward and BACKWARD_Q) or one key (BACKWARD_KV) of one head.
struct Params {
  heads: u32, kv_heads: u32, ld: u32, scale: f32,
}

//#include attention_input
//#if FORWARD
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;
//#else
@group(0) @binding(3) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_qkv: array<vec4f>;
//#endif

const WIDE = HEAD_DIM / 4u;
const MASKED = -1e30;
alias Row = array<vec4f, WIDE>;

fn load_row(token: u32, column: u32) -> Row {
  var row: Row;
  for (var i = 0u; i < WIDE; i++) { row[i] = qkv[token * (p.ld / 4u) + column * WIDE + i]; }
  return row;
}

fn dot_row(a: ptr<function, Row>, token: u32, column: u32) -> f32 {
  let at = token * (p.ld / 4u) + column * WIDE;
  var sum = 0.0;
  for (var i = 0u; i < WIDE; i++) { sum += dot((*a)[i], qkv[at + i]); }
  return sum;
}

@compute @workgroup_size(TILE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = tiles[group.x];
  if (thread >= tile.count) { return; }
  let t = tile.start + thread;
  //#if BACKWARD_KV
  let kv_head = group.y;
  let share = p.heads / p.kv_heads;
  var k = load_row(t, p.heads + kv_head);
  var v = load_row(t, p.heads + p.kv_heads + kv_head);
  var d_k = Row();
  var d_v = Row();
  for (var head = kv_head * share; head < (kv_head + 1u) * share; head++) {
    for (var q = t; q < tile.query_end; q++) {
      let at = q * p.heads + head;
      let e = exp(min(dot_row(&k, q, head) * p.scale - lse[at], 0.0));
      var d_p = 0.0;
      for (var i = 0u; i < WIDE; i++) { d_p += dot(v[i], d_out[at * WIDE + i]); }
      let d_s = p.scale * e * (d_p - delta[at]);
      let row = q * (p.ld / 4u) + head * WIDE;
      for (var i = 0u; i < WIDE; i++) {
        d_v[i] += e * d_out[at * WIDE + i];
        d_k[i] += d_s * qkv[row + i];
      }
    }
  }
  for (var i = 0u; i < WIDE; i++) {
    d_qkv[t * (p.ld / 4u) + (p.heads + kv_head) * WIDE + i] = d_k[i];
    d_qkv[t * (p.ld / 4u) + (p.heads + p.kv_heads + kv_head) * WIDE + i] = d_v[i];
  }
  //#else
  let head = group.y;
  let k_column = p.heads + head / (p.heads / p.kv_heads);
  let v_column = k_column + p.kv_heads;
  let at = t * p.heads + head;
  var q = load_row(t, head);
  var acc = Row();
  //#if FORWARD
  var top = MASKED;
  var sum = 0.0;
  //#else
  let row_lse = lse[at];
  let row_delta = delta[at];
  //#endif
  for (var segment = 0u; segment < 2u; segment++) {
    let first = select(tile.run_start, tile.prefix_start, segment == 0u);
    let last = select(t + 1u, tile.prefix_end, segment == 0u);
    for (var k = first; k < last; k++) {
      let s = dot_row(&q, k, k_column) * p.scale;
      //#if FORWARD
      let v_at = k * (p.ld / 4u) + v_column * WIDE;
      if (s > top) {
        let shrink = exp(top - s);
        sum *= shrink;
        for (var i = 0u; i < WIDE; i++) { acc[i] *= shrink; }
        top = s;
      }
      let e = exp(s - top);
      sum += e;
      for (var i = 0u; i < WIDE; i++) { acc[i] += e * qkv[v_at + i]; }
      //#else
      let v_at = k * (p.ld / 4u) + v_column * WIDE;
      let k_at = k * (p.ld / 4u) + k_column * WIDE;
      var d_p = 0.0;
      for (var i = 0u; i < WIDE; i++) { d_p += dot(d_out[at * WIDE + i], qkv[v_at + i]); }
      let d_s = p.scale * exp(min(s - row_lse, 0.0)) * (d_p - row_delta);
      for (var i = 0u; i < WIDE; i++) { acc[i] += d_s * qkv[k_at + i]; }
      //#endif
    }
  }
  //#if FORWARD
  for (var i = 0u; i < WIDE; i++) { out[at * WIDE + i] = acc[i] / sum; }
  lse[at] = top + log(sum);
  //#else
  for (var i = 0u; i < WIDE; i++) { d_qkv[t * (p.ld / 4u) + head * WIDE + i] = acc[i]; }
  //#endif
  //#endif
}
