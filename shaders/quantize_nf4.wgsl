// Quantises weights to NF4 as bitsandbytes does, to the same bits on every device. A thread makes one block of 64 values:
//   absmax = max |w|;  x = w * (1 / absmax);  code = number of thresholds below x;  even elements in the high halves.
// Reciprocals are worked out in integers, because WGSL's division may be off by a few units in the last place.
struct Params {
  elements: u32,
  // Where this piece's codes (in words of eight) and maxima begin.
  first_word: u32, first_block: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// The weights, in any unquantised format, from element 0 on.
//#include weight
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;
@group(0) @binding(5) var<storage, read_write> absmax: array<f32>;

// Midpoints of neighbouring codes.
const THRESHOLDS = array<f32, 15>(
  -0.8480964004993439, -0.6106329262256622, -0.4599952697753906, -0.33967943489551544, -0.23460740596055984,
  -0.13791173323988914, -0.045525018125772476, 0.03979014977812767, 0.1202552504837513, 0.2035212516784668,
  0.2920137718319893, 0.3893125355243683, 0.5016634166240692, 0.6427869200706482, 0.8614784178118011);

// 1 / a for a finite a > 0, correctly rounded where it is a normal number.
fn reciprocal(a: f32) -> f32 {
  let bits = bitcast<u32>(a);
  let exponent = bits >> 23u;
  if (exponent == 0u || exponent >= 253u) { return 1.0 / a; }
  if ((bits & 0x7fffffu) == 0u) { return bitcast<f32>((254u - exponent) << 23u); }
  // a = m 2^(exponent - 150) with 2^23 < m < 2^24: the quotient 2^47 / m has 24 bits. A remainder of exactly half is
  // impossible.
  let m = (bits & 0x7fffffu) | 0x800000u;
  var remainder = 0x800000u;
  var quotient = 0u;
  for (var i = 0u; i < 24u; i++) {
    remainder <<= 1u;
    quotient <<= 1u;
    if (remainder >= m) {
      remainder -= m;
      quotient |= 1u;
    }
  }
  if (2u * remainder > m) { quotient++; }
  return bitcast<f32>(((253u - exponent) << 23u) + (quotient - 0x800000u));
}

fn code_of(x: f32) -> u32 {
  var code = 0u;
  for (var i = 0u; i < 15u; i++) { code += select(0u, 1u, x > THRESHOLDS[i]); }
  return code;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let block = id.x + id.y * 65535u * 64u;
  let begin = block * 64u;
  if (begin >= p.elements) { return; }
  let end = min(begin + 64u, p.elements);
  var top = 0.0;
  for (var i = begin; i < end; i += 4u) {
    let w = abs(load_weight4(i));
    top = max(top, max(max(w.x, w.y), max(w.z, w.w)));
  }
  absmax[p.first_block + block] = top;
  // A block of zeros gets codes 0.
  let inverse = select(0.0, reciprocal(top), top > 0.0);
  for (var i = begin; i < end; i += 8u) {
    var word = 0u;
    for (var half = 0u; half < 2u && i + 4u * half < end; half++) {
      let x = load_weight4(i + 4u * half) * inverse;
      let c = vec4u(code_of(x.x), code_of(x.y), code_of(x.z), code_of(x.w));
      let bytes = select(vec4u(), c, top > 0.0);
      word |= ((bytes.x << 4u) | bytes.y | (bytes.z << 12u) | (bytes.w << 8u)) << (16u * half);
    }
    codes[p.first_word + i / 8u] = word;
  }
}
