// Attention of one new token a sequence over its cached keys, split over the keys so that a single long sequence fills a
// GPU as well (flash decoding). A workgroup takes KEYS keys of one sequence and one key head, and all SHARE query heads
// that read it, so every key is loaded once. Its softmax is its own: it leaves (maximum, sum) and the weighted values,
// which decode_attention_sum.wgsl puts together.
//
// Query row r belongs to the sequence whose token `positions[r]` lies in row `rows[r]` of the cache; the tokens before it
// lie in the rows before. A cache row holds keys, then values (kv_store.wgsl).
//
// DIRECT: for adapters that compute on the CPU; a thread takes one query head and KEYS keys.
struct Params {
  heads: u32, kv_heads: u32, ld: u32, scale: f32, splits: u32, queries: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<storage, read> cache: array<vec4f>;
@group(0) @binding(3) var<storage, read> rows: array<u32>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
// [query][head][split]: HEAD_DIM weighted sums, then (maximum, sum, 0, 0).
@group(0) @binding(5) var<storage, read_write> partials: array<vec4f>;

const WIDE = HEAD_DIM / 4u;
const MASKED = -1e30;

fn key_at(row: u32, kv_head: u32) -> u32 { return (row * 2u * p.kv_heads + kv_head) * WIDE; }
fn value_at(row: u32, kv_head: u32) -> u32 { return ((row * 2u + 1u) * p.kv_heads + kv_head) * WIDE; }
fn partial_at(query: u32, head: u32, split: u32) -> u32 {
  return ((query * p.heads + head) * p.splits + split) * (WIDE + 1u);
}

//#if DIRECT
@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let query = id.z;
  let head = id.y;
  let split = id.x;
  if (split >= p.splits) { return; }
  let kv_head = head / SHARE;
  let length = positions[query] + 1u;
  let base = rows[query] - positions[query];
  let q_at = query * (p.ld / 4u) + head * WIDE;
  var q: array<vec4f, WIDE>;
  for (var i = 0u; i < WIDE; i++) { q[i] = qkv[q_at + i]; }
  var acc: array<vec4f, WIDE>;
  var top = MASKED;
  var sum = 0.0;
  for (var key = split * KEYS; key < min(length, (split + 1u) * KEYS); key++) {
    let k_at = key_at(base + key, kv_head);
    var s = 0.0;
    for (var i = 0u; i < WIDE; i++) { s += dot(q[i], cache[k_at + i]); }
    s *= p.scale;
    if (s > top) {
      let shrink = exp(top - s);
      sum *= shrink;
      for (var i = 0u; i < WIDE; i++) { acc[i] *= shrink; }
      top = s;
    }
    let e = exp(s - top);
    sum += e;
    let v_at = value_at(base + key, kv_head);
    for (var i = 0u; i < WIDE; i++) { acc[i] += e * cache[v_at + i]; }
  }
  let at = partial_at(query, head, split);
  for (var i = 0u; i < WIDE; i++) { partials[at + i] = acc[i]; }
  partials[at + WIDE] = vec4f(top, sum, 0.0, 0.0);
}
//#else
//#include reduce

var<workgroup> q: array<vec4f, SHARE * WIDE>;
var<workgroup> weights: array<f32, SHARE * KEYS>;

// KEYS = THREADS = ROW_THREADS.
@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let query = group.z;
  let kv_head = group.y;
  let split = group.x;
  let length = positions[query] + 1u;
  let base = rows[query] - positions[query];
  let first = split * KEYS;
  let q_at = query * (p.ld / 4u) + kv_head * SHARE * WIDE;
  for (var i = thread; i < SHARE * WIDE; i += ROW_THREADS) { q[i % (SHARE * WIDE)] = qkv[q_at + i]; }
  workgroupBarrier();
  let key = first + thread;
  var scores: array<f32, SHARE>;
  if (key < length) {
    let k_at = key_at(base + key, kv_head);
    for (var i = 0u; i < WIDE; i++) {
      let k = cache[k_at + i];
      for (var h = 0u; h < SHARE; h++) { scores[h] += dot(q[h * WIDE + i], k); }
    }
  }
  for (var h = 0u; h < SHARE; h++) {
    let score = select(MASKED, scores[h] * p.scale, key < length);
    let top = workgroup_max(score, thread);
    let e = select(0.0, exp(score - top), key < length);
    let sum = workgroup_sum(e, thread);
    weights[h * KEYS + thread] = e;
    if (thread == 0u) { partials[partial_at(query, kv_head * SHARE + h, split) + WIDE] = vec4f(top, sum, 0.0, 0.0); }
  }
  workgroupBarrier();
  let last = min(length, first + KEYS);
  for (var i = thread; i < SHARE * WIDE; i += ROW_THREADS) {
    let h = i / WIDE;
    var acc = vec4f();
    for (var k = first; k < last; k++) {
      acc += weights[h * KEYS + (k - first) % KEYS] * cache[value_at(base + k, kv_head) + i % WIDE];
    }
    partials[partial_at(query, kv_head * SHARE + h, split) + i % WIDE] = acc;
  }
}
//#endif
