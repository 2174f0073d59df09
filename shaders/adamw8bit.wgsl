// bitsandbytes' 8-bit AdamW: a workgroup updates one block of up to 256 consecutive elements of one tensor.
//
//   m, v from their codes;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g²
//   p -= (lr c2 / c1) m / (sqrt(v) + c2 eps);  p *= 1 - lr wd      with the fresh m and v
//   new absmax of each; codes of m / absmax and v / absmax, m's never of the other sign
//
// Where the block's elements and states lie is said by model/moments.ts. c1 and c2 as in adamw.wgsl. A gradient that is
// not finite leaves everything as it is (clip[1] < 0), so bitsandbytes' reset of single elements never comes to pass.
struct Params {
  blocks: u32, rank: u32, padded_rank: u32,
  beta1: f32, one_minus_beta1: f32, beta2: f32, one_minus_beta2: f32,
  step_size: f32, eps: f32, decay: f32,
}

struct Block {
  offset: u32, first: u32, count_and_flags: u32, state: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> param: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read> blocks: array<Block>;
@group(0) @binding(4) var<storage, read_write> states: array<u32>;
// The signed dynamic map, then the unsigned one; 256 sorted values each.
@group(0) @binding(5) var<storage, read> maps: array<f32>;
@group(0) @binding(6) var<storage, read> clip: array<f32>;

//#include reduce

const STRIDED = 0x10000u;
const FULL = 0x20000u;

struct Moments {
  m: vec4f, v: vec4f,
}

// Where element e of the block lies in the slab.
fn place(block: Block, e: u32) -> u32 {
  let i = block.first + e;
  if ((block.count_and_flags & STRIDED) == 0u) { return block.offset + i; }
  return block.offset + (i / p.rank) * p.padded_rank + i % p.rank;
}

fn advance(m: f32, v: f32, g: f32) -> vec2f {
  return vec2f(p.beta1 * m + p.one_minus_beta1 * g, p.beta2 * v + p.one_minus_beta2 * g * g);
}

fn update(at: u32, m: f32, v: f32) {
  param[at] = (param[at] - p.step_size * (m / (sqrt(v) + p.eps))) * p.decay;
}

// Fresh moments of the four elements of word w; those past the end are zero.
fn fresh(block: Block, count: u32, w: u32, words: u32, absmax: vec2f) -> Moments {
  let m_codes = unpack4xU8(states[block.state + 2u + w]);
  let v_codes = unpack4xU8(states[block.state + 2u + words + w]);
  var out = Moments();
  for (var j = 0u; j < 4u && 4u * w + j < count; j++) {
    let g = grad[place(block, 4u * w + j)] * clip[1];
    let mv = advance(maps[m_codes[j]] * absmax.x, maps[256u + v_codes[j]] * absmax.y, g);
    out.m[j] = mv.x;
    out.v[j] = mv.y;
  }
  return out;
}

// Index of the nearest of 256 sorted values: seven halvings from 127, then the midpoint to the neighbour.
fn nearest(map: u32, x: f32) -> u32 {
  var pivot = 127u;
  var low = 0u;
  var high = 255u;
  for (var step = 64u; step > 0u; step >>= 1u) {
    if (x > maps[map + pivot]) {
      low = pivot;
      pivot += step;
    } else {
      high = pivot;
      pivot -= step;
    }
  }
  let value = maps[map + pivot];
  if (x > value) { return select(pivot, high, x > 0.5 * (maps[map + high] + value)); }
  return select(pivot, low, x < 0.5 * (maps[map + low] + value));
}

fn is_negative(x: f32) -> bool {
  return (bitcast<u32>(x) >> 31u) != 0u;
}

fn code_m(m: f32, inverse: f32) -> u32 {
  let code = nearest(0u, m * inverse);
  if (is_negative(maps[code]) == is_negative(m)) { return code; }
  return select(max(code, 1u) - 1u, min(code + 1u, 255u), m > 0.0);
}

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = group.x + group.y * 65535u;
  if (index >= p.blocks || clip[1] < 0.0) { return; }
  let block = blocks[index];
  let count = block.count_and_flags & 0xffffu;
  if ((block.count_and_flags & FULL) != 0u) {
    for (var e = thread; e < count; e += ROW_THREADS) {
      let at = place(block, e);
      let m_at = block.state + e;
      let v_at = m_at + count;
      let mv = advance(bitcast<f32>(states[m_at]), bitcast<f32>(states[v_at]), grad[at] * clip[1]);
      states[m_at] = bitcast<u32>(mv.x);
      states[v_at] = bitcast<u32>(mv.y);
      update(at, mv.x, mv.y);
    }
    return;
  }
  let words = (count + 3u) / 4u;
  let old = vec2f(bitcast<f32>(states[block.state]), bitcast<f32>(states[block.state + 1u]));
  var top = vec2f();
  for (var w = thread; w < words; w += ROW_THREADS) {
    let mv = fresh(block, count, w, words, old);
    let m = abs(mv.m);
    top = max(top, vec2f(max(max(m.x, m.y), max(m.z, m.w)), max(max(mv.v.x, mv.v.y), max(mv.v.z, mv.v.w))));
  }
  top = vec2f(workgroup_max(top.x, thread), workgroup_max(top.y, thread));
  let inverse = select(vec2f(), 1.0 / top, top > vec2f());
  for (var w = thread; w < words; w += ROW_THREADS) {
    let mv = fresh(block, count, w, words, old);
    var m_codes = vec4u();
    var v_codes = vec4u();
    for (var j = 0u; j < 4u && 4u * w + j < count; j++) {
      update(place(block, 4u * w + j), mv.m[j], mv.v[j]);
      m_codes[j] = code_m(mv.m[j], inverse.x);
      v_codes[j] = nearest(256u, mv.v[j] * inverse.y);
    }
    states[block.state + 2u + w] = pack4xU8(m_codes);
    states[block.state + 2u + words + w] = pack4xU8(v_codes);
  }
  if (thread == 0u) {
    states[block.state] = bitcast<u32>(top.x);
    states[block.state + 1u] = bitcast<u32>(top.y);
  }
}
