// Rows of f32 values as f16 for products with f16 operands. Blocks of 16 rows are brought into f16's range by a power of two, so
// that neither large activations nor small gradients leave it: the block's largest value comes to [128, 256), which leaves a
// factor of 256 for what is scaled alike and 2^21 below before digits are lost. factors[row / 16] undoes it, exactly.
// One workgroup a block.
struct Params {
  rows: u32, columns: u32, ld: u32, offset: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> half: array<vec2u>;
@group(0) @binding(3) var<storage, read_write> factors: array<f32>;

//#include reduce

// 2^n for n in [-126, 127].
fn power_of_two(n: i32) -> f32 { return bitcast<f32>(u32(n + 127) << 23u); }

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let first = (group.x + group.y * 65535u) * 16u;
  if (first >= p.rows) { return; }
  let last = min(first + 16u, p.rows);
  let count = p.columns / 4u;
  var top = 0.0;
  for (var row = first; row < last; row++) {
    let source = (p.offset + row * p.ld) / 4u;
    for (var i = thread; i < count; i += ROW_THREADS) {
      let value = abs(x[source + i]);
      top = max(top, max(max(value.x, value.y), max(value.z, value.w)));
    }
  }
  top = workgroup_max(top, thread);
  // The exponent of the largest value. Beyond 2^60 either way digits are lost rather than sums that begin elsewhere.
  let exponent = i32(bitcast<u32>(top) >> 23u) - 127;
  let shift = select(0, clamp(7 - exponent, -60, 60), top > 0.0);
  let factor = power_of_two(shift);
  for (var row = first; row < last; row++) {
    let source = (p.offset + row * p.ld) / 4u;
    for (var i = thread; i < count; i += ROW_THREADS) {
      let value = x[source + i] * factor;
      half[row * count + i] = vec2u(pack2x16float(value.xy), pack2x16float(value.zw));
    }
  }
  if (thread == 0u) { factors[first / 16u] = power_of_two(-shift); }
}
