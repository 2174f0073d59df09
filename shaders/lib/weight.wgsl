// A frozen weight matrix, row-major, read four neighbouring values at a time from whatever it is stored as.
// `flat` is the index of the first value (a multiple of 4).
//#if W_F32
@group(0) @binding(2) var<storage, read> w: array<vec4f>;

fn load_weight4(flat: u32) -> vec4f {
  return w[flat >> 2u];
}
//#endif
//#if W_BF16
@group(0) @binding(2) var<storage, read> w: array<vec2u>;

fn load_weight4(flat: u32) -> vec4f {
  let q = w[flat >> 2u];
  return bitcast<vec4f>(vec4u(q.x << 16u, q.x & 0xffff0000u, q.y << 16u, q.y & 0xffff0000u));
}
//#endif
//#if W_F16
@group(0) @binding(2) var<storage, read> w: array<vec2u>;

fn load_weight4(flat: u32) -> vec4f {
  let q = w[flat >> 2u];
  return vec4f(unpack2x16float(q.x), unpack2x16float(q.y));
}
//#endif
//#if W_NF4
// bitsandbytes NF4: blocks of 64 values share an absmax, itself an 8-bit code of a dynamic map scaled per 256 blocks.
// `scales` holds: the 256 values of the map, the 16 values of the NF4 code, `nested_blocks` scales, then the codes.
// It belongs to the whole matrix, of which `w` may be a part: value 0 of `w` is value `nested_first` of the matrix.
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read> scales: array<u32>;

// An absmax in two steps, for kernels that do something else until the first has arrived.
fn fetch_absmax(block: u32) -> vec2u {
  let at = 272u + p.nested_blocks;
  if (p.nested_blocks == 0u) { return vec2u(scales[at + block], 0u); }
  return vec2u((scales[at + (block >> 2u)] >> (8u * (block & 3u))) & 0xffu, scales[272u + (block >> 8u)]);
}
fn decode_absmax(raw: vec2u) -> f32 {
  if (p.nested_blocks == 0u) { return bitcast<f32>(raw.x); }
  return bitcast<f32>(scales[raw.x]) * bitcast<f32>(raw.y) + p.nested_offset;
}

fn load_absmax(block: u32) -> f32 { return decode_absmax(fetch_absmax(block)); }

fn nf4_value(index: u32) -> f32 {
  return bitcast<f32>(scales[256u + index]);
}

// In a byte the even element is the high half.
fn load_weight4(flat: u32) -> vec4f {
  let pair = (w[flat >> 3u] >> (4u * (flat & 4u))) & 0xffffu;
  let values = vec4f(
    nf4_value((pair >> 4u) & 15u), nf4_value(pair & 15u), nf4_value((pair >> 12u) & 15u), nf4_value((pair >> 8u) & 15u));
  return values * load_absmax((flat + p.nested_first) >> 6u);
}
//#endif
