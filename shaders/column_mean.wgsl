// Adds this part's share of the mean row of a matrix: mean[c] (+)= Σ_r w[r][c] / total. Dotted with a hidden state it
// gives the mean logit over the vocabulary, which TRL reports.
struct Params {
  rows: u32, columns: u32, total: f32, accumulate: u32,
  nested_blocks: u32, nested_offset: f32, nested_first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
//#include weight
@group(0) @binding(4) var<storage, read_write> mean: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= p.columns / 4u) { return; }
  // Summed in stretches: one long f32 sum over 128,256 rows would lose digits.
  var sum = vec4f();
  for (var r0 = 0u; r0 < p.rows; r0 += 256u) {
    var part = vec4f();
    for (var r = r0; r < min(r0 + 256u, p.rows); r++) { part += load_weight4(r * p.columns + 4u * c); }
    sum += part;
  }
  var value = sum / p.total;
  if (p.accumulate != 0u) { value += mean[c]; }
  mean[c] = value;
}
