// The end of a product whose inner dimension was split: y = alpha * Σ partials, times a factor for each column
// (COLUMN_SCALE), (+ residual) (+ y). The partial matrices [M, N] are summed in their order, so results repeat.
struct Params {
  M: u32, N: u32, splits: u32,
  ldy: u32, y_offset: u32, ldr: u32, r_offset: u32, s_offset: u32,
  alpha: f32, accumulate: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
//#if RESIDUAL
@group(0) @binding(3) var<storage, read> residual: array<vec4f>;
//#endif
//#if COLUMN_SCALE
@group(0) @binding(4) var<storage, read> column_scale: array<vec4f>;
//#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x + id.y * 65535u * 64u;
  let columns = (p.N + 3u) / 4u;
  let m = i / columns;
  let n = 4u * (i % columns);
  if (m >= p.M) { return; }
  var value = vec4f();
  for (var s = 0u; s < p.splits; s++) { value += partials[s * p.M * columns + i]; }
  value *= p.alpha;
  //#if COLUMN_SCALE
  value *= column_scale[(p.s_offset + n) >> 2u];
  //#endif
  //#if RESIDUAL
  value += residual[(p.r_offset + m * p.ldr + n) >> 2u];
  //#endif
  let at = (p.y_offset + m * p.ldy + n) >> 2u;
  if (p.accumulate != 0u) { value += y[at]; }
  y[at] = value;
}
