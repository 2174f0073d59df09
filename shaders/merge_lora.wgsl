// Rows of a merged weight, W + s (B A), rounded once to the output's dtype. A thread makes four neighbouring values.
// The sums are those of the CPU reference (src/export/merge.ts) to the bit: the product B A is summed with twice f32's
// precision and rounded to f32; the scaling and the addition are rounded to f32 each.
struct Params {
  // Values of these rows, and of one row; both multiples of 4.
  elements: u32, columns: u32,
  // 0: the weight has no adapter.
  rank: u32,
  // The row of B that belongs to the first row.
  first_row: u32,
  lora_scale: f32,
  // Always 0. The compiler does not know, so a value that is mixed with it is rounded there and then: not fused with a
  // later sum, which would round differently.
  zero: u32,
  nested_blocks: u32, nested_offset: f32, nested_first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// The rows as they are stored, from value 0 on.
//#include weight
// A [rank, columns] and B [all rows, rank].
@group(0) @binding(4) var<storage, read> a: array<vec4f>;
@group(0) @binding(5) var<storage, read> b: array<f32>;
//#if OUT_F32
@group(0) @binding(6) var<storage, read_write> merged: array<vec4f>;
//#else
@group(0) @binding(6) var<storage, read_write> merged: array<vec2u>;
//#endif

fn rounded(x: vec4f) -> vec4f { return bitcast<vec4f>(bitcast<vec4u>(x) ^ vec4u(p.zero)); }

// A sum of two f32: `high`, and what was rounded away from it.
struct Wide { high: vec4f, low: vec4f }

// Knuth's exact addition.
fn add(sum: Wide, x: vec4f) -> Wide {
  let t = rounded(sum.high + x);
  let z = rounded(t - sum.high);
  let error = rounded(sum.high - rounded(t - z)) + rounded(x - z);
  return Wide(t, sum.low + error);
}

// The product B A at one place. Each factor is split into halves of 12 bits, whose products are exact.
fn product(row: u32, i: u32) -> vec4f {
  let width = p.columns / 4u;
  var sum = Wide();
  for (var k = 0u; k < p.rank; k++) {
    let x = b[row * p.rank + k];
    let y = a[k * width + i];
    let x_high = bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
    let y_high = bitcast<vec4f>(bitcast<vec4u>(y) & vec4u(0xfffff000u));
    let x_low = x - x_high;
    let y_low = y - y_high;
    sum = add(sum, x_high * y_high);
    sum = add(sum, x_high * y_low);
    sum = add(sum, x_low * y_high);
    sum.low += x_low * y_low;
  }
  return rounded(sum.high + sum.low);
}

//#if OUT_BF16
// Round to nearest even; NaN becomes 0x7fc0.
fn bits16(x: vec4f) -> vec4u {
  let w = bitcast<vec4u>(x);
  let nan = (w & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
  return select((w + vec4u(0x7fffu) + ((w >> vec4u(16u)) & vec4u(1u))) >> vec4u(16u), vec4u(0x7fc0u), nan);
}
//#endif
//#if OUT_F16
// Round to nearest even; beyond 65519 infinity; NaN becomes 0x7e00 with the sign kept.
fn half_bits(word: u32) -> u32 {
  let sign = (word >> 16u) & 0x8000u;
  let w = word & 0x7fffffffu;
  if (w > 0x7f800000u) { return sign | 0x7e00u; }
  if (w >= 0x477ff000u) { return sign | 0x7c00u; }
  if (w >= 0x38800000u) { return sign | ((w - 0x38000000u + 0xfffu + ((w >> 13u) & 1u)) >> 13u); }
  // Subnormal: the mantissa in units of 2^-24.
  let shift = 126u - (w >> 23u);
  if (shift > 24u) { return sign; }
  let m = (w & 0x7fffffu) | 0x800000u;
  return sign | ((m + (1u << (shift - 1u)) - 1u + ((m >> shift) & 1u)) >> shift);
}
fn bits16(x: vec4f) -> vec4u {
  let w = bitcast<vec4u>(x);
  return vec4u(half_bits(w.x), half_bits(w.y), half_bits(w.z), half_bits(w.w));
}
//#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let at = 4u * (id.x + id.y * 65535u * 64u);
  if (at >= p.elements) { return; }
  var value = rounded(load_weight4(at));
  if (p.rank > 0u) {
    let row = at / p.columns;
    let delta = product(p.first_row + row, (at - row * p.columns) / 4u);
    value = rounded(value + rounded(p.lora_scale * delta));
  }
  //#if OUT_F32
  merged[at / 4u] = value;
  //#else
  let h = bits16(value);
  merged[at / 4u] = vec2u(h.x | (h.y << 16u), h.z | (h.w << 16u));
  //#endif
}
