// Shared by attention's kernels on matrix units: bindings, sizes, and which rows a thread has.
//
// A workgroup of WM x WN subgroups owns BM = 16 SR WM rows and walks over the other side, BN rows at a time, of which it makes f16 in
// workgroup memory. Scores go from the units to workgroup memory as f32; threads make weights of them, as f16, which are the
// left operand of the second product. LANES neighbouring threads share a row of scores: thread `lane` of subgroup `warp` has rows
// warp * OWN_ROWS + lane / LANES + i * LANE_ROWS, and of each the four columns 4 (lane % LANES + j LANES) and following.
//
// Workgroup memory is made of vectors: four values of f16 as vec2u, four of f32 as vec4f, and blocks are loaded and stored
// with offsets and strides in such vectors, so that threads read and write 8 or 16 bytes at a time.
// Every index into workgroup memory is written out in main(), from local_invocation_index and constants: see matmul_matrix.wgsl.
struct Params {
  heads: u32, kv_heads: u32, ld: u32, scale: f32,
}

//#include attention_input

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Result = subgroup_matrix_result<f32, 16, 16>;

const LOG2_E = 1.4426950408889634;
const MASKED = -1e30;
const THREADS = SUBGROUP * WM * WN;
const BM = 16u * SR * WM;
// Rows are TOKENS neighbouring tokens of HEADS heads that share keys and values.
const TOKENS = BM / HEADS;
// Workgroups that share a tile of the table.
const PARTS = TILE / TOKENS;
const HQ = HEAD_DIM / 4u;
const BQ = BN / 4u;
// Padding, so that rows begin in different banks.
const B_STRIDE = HQ + 2u;
const B_SIZE = BN * B_STRIDE;
const W_STRIDE = BQ + 2u;
const W_SIZE = BM * W_STRIDE;
const S_STRIDE = BQ + S_PAD;
const S_SIZE = BM * S_STRIDE;
const LANE_ROWS = SUBGROUP / LANES;
const OWN_ROWS = BM / (WM * WN);

// 2^n for n in [-126, 127].
fn power_of_two(n: i32) -> f32 { return bitcast<f32>(u32(n + 127) << 23u); }

// The power of two that brings `top` to [2^exponent, 2^(exponent + 1)).
fn factor_for(top: f32, exponent: i32) -> f32 {
  let own = i32(bitcast<u32>(top) >> 23u) - 127;
  return power_of_two(select(0, clamp(exponent - own, -60, 60), top > 0.0));
}

fn halves(value: vec4f) -> vec2u { return vec2u(pack2x16float(value.xy), pack2x16float(value.zw)); }
