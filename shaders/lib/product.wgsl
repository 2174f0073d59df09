// Parameters and bindings of all matrix product kernels, but for the weight (lib/weight.wgsl, lib/raw_weight.wgsl).
// `second`, `third`: weights one below the other begin at these rows, and each has a U of its own, beside the one before. SPLITS: the kernel can split K. HALF: x holds f16. MATRIX: results are addressed one by one, as matrix units store them.
struct Params {
  M: u32, N: u32, K: u32,
  ldx: u32, x_offset: u32,
  ldw: u32, w_offset: u32,
  ldy: u32, y_offset: u32,
  ldr: u32, r_offset: u32,
  rank: u32, ldu: u32, u_offset: u32, ldv: u32, v_offset: u32, second: u32, third: u32,
  alpha: f32, accumulate: u32, s_offset: u32,
  nested_blocks: u32, nested_offset: f32, nested_first: u32,
  //#if SPLITS
  split_tiles: u32, y_split: u32, k_groups: u32,
  //#endif
}

@group(0) @binding(0) var<uniform> p: Params;
//#if HALF
//#if MATRIX
@group(0) @binding(1) var<storage, read_write> x: array<array<vec4u, 512>>;
//#else
@group(0) @binding(1) var<storage, read> x: array<vec4u>;
//#endif
//#else
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
//#endif
//#if MATRIX
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
//#else
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
//#endif
//#if LORA
@group(0) @binding(5) var<storage, read> u: array<vec4f>;
@group(0) @binding(6) var<storage, read> v: array<vec4f>;
//#endif
//#if RESIDUAL
//#if MATRIX
@group(0) @binding(7) var<storage, read> residual: array<f32>;
//#else
@group(0) @binding(7) var<storage, read> residual: array<vec4f>;
//#endif
//#endif
//#if COLUMN_SCALE
//#if MATRIX
@group(0) @binding(8) var<storage, read> column_scale: array<f32>;
//#else
@group(0) @binding(8) var<storage, read> column_scale: array<vec4f>;
//#endif
//#endif
