// Shared by attention's backward kernels on matrix units. Subgroups come in pairs (WN is 2) with the same rows: of the two products
// that make dS one makes the scores, the other dOut Vᵀ.
@group(0) @binding(3) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
// The largest |dOut| of each token and head.
@group(0) @binding(6) var<storage, read> tops: array<f32>;
@group(0) @binding(7) var<storage, read_write> d_qkv: array<vec4f>;

// f16's largest values, less what rounding may add.
const LARGEST = 65000.0;
