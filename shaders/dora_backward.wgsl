// From the gradient dy of a DoRA projection y = c y' (y' = x Wᵀ + s (x Aᵀ) Bᵀ, c = magnitude / norm, the norm a constant):
//   d magnitude (+)= Σ_t dy y' / norm      and      d y' = c dy
// The latter overwrites dy, or y' (INTO_Y) where dy is still needed.
// A workgroup has COLUMNS x STRIPS threads: four columns each, and every STRIPS-th token.
struct Params {
  tokens: u32, columns: u32,
  ldd: u32, d_offset: u32, ldy: u32, y_offset: u32,
  // Values before the gradient of the magnitudes, the factors c and the reciprocal norms.
  g_offset: u32, s_offset: u32, i_offset: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
//#if INTO_Y
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
//#else
@group(0) @binding(1) var<storage, read_write> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read> y: array<vec4f>;
//#endif
@group(0) @binding(3) var<storage, read> scale: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> grad: array<vec4f>;

var<workgroup> strips: array<vec4f, COLUMNS * STRIPS>;

@compute @workgroup_size(COLUMNS, STRIPS)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let column = 4u * id.x;
  var sum = vec4f();
  if (column < p.columns) {
    let c = scale[(p.s_offset + column) >> 2u];
    for (var t = local.y; t < p.tokens; t += STRIPS) {
      let at_d = (p.d_offset + t * p.ldd + column) >> 2u;
      let at_y = (p.y_offset + t * p.ldy + column) >> 2u;
      let d = dy[at_d];
      sum += d * y[at_y];
      //#if INTO_Y
      y[at_y] = c * d;
      //#else
      dy[at_d] = c * d;
      //#endif
    }
  }
  strips[local.y * COLUMNS + local.x] = sum;
  workgroupBarrier();
  if (local.y != 0u || column >= p.columns) { return; }
  for (var s = 1u; s < STRIPS; s++) { sum += strips[s * COLUMNS + local.x]; }
  sum *= scale[(p.i_offset + column) >> 2u];
  let at = (p.g_offset + column) >> 2u;
  if (p.accumulate != 0u) { sum += grad[at]; }
  grad[at] = sum;
}
