// DoRA's factors c = magnitude / ||W + s B A|| for each row of a weight, and beside them 1 / ||W + s B A||, which the
// gradient of the magnitude needs. With START the magnitude is first set to that norm (PEFT's initial value).
// One workgroup makes four rows, so that a row of A is read once for the four.
struct Params {
  rows: u32, columns: u32, first_row: u32, rank: u32,
  // Values before A [rank, columns], B [rows, rank] and the magnitudes [rows] in the slab.
  a_offset: u32, b_offset: u32, m_offset: u32,
  // Values before the factors and before the reciprocal norms.
  s_offset: u32, i_offset: u32,
  lora_scale: f32,
  nested_blocks: u32, nested_offset: f32, nested_first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> slab: array<vec4f>;
//#include weight
@group(0) @binding(4) var<storage, read_write> scale: array<vec4f>;

//#include reduce

fn value4(row: u32, i: u32, delta: vec4f) -> f32 {
  let w = load_weight4(row * p.columns + 4u * i) + p.lora_scale * delta;
  return dot(w, w);
}

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = 4u * (group.x + group.y * 65535u);
  if (row >= p.rows) { return; }
  let whole = p.first_row + row;
  let width = p.columns / 4u;
  let b0 = (p.b_offset + whole * p.rank) >> 2u;
  var squares = vec4f();
  for (var i = thread; i < width; i += ROW_THREADS) {
    var delta = mat4x4f();
    for (var k = 0u; k < p.rank; k += 4u) {
      let a0 = (p.a_offset >> 2u) + k * width + i;
      let a = mat4x4f(slab[a0], slab[a0 + width], slab[a0 + 2u * width], slab[a0 + 3u * width]);
      let b = b0 + (k >> 2u);
      let step = p.rank >> 2u;
      delta += mat4x4f(a * slab[b], a * slab[b + step], a * slab[b + 2u * step], a * slab[b + 3u * step]);
    }
    squares += vec4f(
      value4(row, i, delta[0]), value4(row + 1u, i, delta[1]), value4(row + 2u, i, delta[2]), value4(row + 3u, i, delta[3]));
  }
  let norm = sqrt(vec4f(
    workgroup_sum(squares.x, thread), workgroup_sum(squares.y, thread),
    workgroup_sum(squares.z, thread), workgroup_sum(squares.w, thread)));
  if (thread != 0u) { return; }
  //#if START
  slab[(p.m_offset + whole) >> 2u] = norm;
  //#endif
  let inverse = 1.0 / norm;
  scale[(p.s_offset + whole) >> 2u] = slab[(p.m_offset + whole) >> 2u] * inverse;
  scale[(p.i_offset + whole) >> 2u] = inverse;
}
