// AdamW on f32 states, gradients scaled by the clipping factor clip[1] first.
//
// torch:          p *= 1 - lr wd;  m, v;  p -= (lr / c1) m / (sqrt(v) / c2 + eps)
// bitsandbytes:   m, v;  p -= (lr c2 / c1) m / (sqrt(v) + c2 eps);  p *= 1 - lr wd      (DECAY_AFTER)
// with c1 = 1 - beta1^t and c2 = sqrt(1 - beta2^t), which the host computes in double precision.
struct Params {
  count: u32,
  beta1: f32, one_minus_beta1: f32, beta2: f32, one_minus_beta2: f32,
  step_size: f32, root_scale: f32, eps: f32, decay: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> param: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read_write> m: array<f32>;
@group(0) @binding(4) var<storage, read_write> v: array<f32>;
@group(0) @binding(5) var<storage, read> clip: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x + id.y * 65535u * 64u;
  // A negative factor marks a gradient that is not finite.
  if (i >= p.count || clip[1] < 0.0) { return; }
  let g = grad[i] * clip[1];
  let m1 = p.beta1 * m[i] + p.one_minus_beta1 * g;
  let v1 = p.beta2 * v[i] + p.one_minus_beta2 * g * g;
  m[i] = m1;
  v[i] = v1;
  // root_scale: 1 / c2 for torch, 1 for bitsandbytes, whose eps comes multiplied by c2.
  let update = p.step_size * m1 / (sqrt(v1) * p.root_scale + p.eps);
  //#if DECAY_AFTER
  param[i] = (param[i] - update) * p.decay;
  //#else
  param[i] = param[i] * p.decay - update;
  //#endif
}
