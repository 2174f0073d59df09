// Dropout on the input of a LoRA module: y = mask x / (1 - p), or with ADD  y += mask x / (1 - p)  (its backward).
// The mask is a pure function of (seed, stream, token, column), so the backward and a recomputed forward find it again.
struct Params {
  tokens: u32, columns: u32, ldx: u32, ldy: u32,
  // Number of the first token within its optimizer step; one stream a layer and module.
  first_token: u32, stream: u32, seed: u32,
  // A value is dropped when its random 32 bits are below this.
  threshold: u32, scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

// Jarzynski and Olano, "Hash functions for GPU rendering" (2020): pcg4d.
fn random4(key: vec4u) -> vec4u {
  var v = key * 1664525u + 1013904223u;
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  v ^= v >> vec4u(16u);
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  return v;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let column = group.x * 64u + thread;
  let token = group.y;
  if (column >= p.columns / 4u) { return; }
  let random = random4(vec4u(column, p.first_token + token, p.stream, p.seed));
  let kept = select(vec4f(), vec4f(p.scale), random >= vec4u(p.threshold));
  let value = kept * x[token * (p.ldx / 4u) + column];
  let at = token * (p.ldy / 4u) + column;
  //#if ADD
  y[at] += value;
  //#else
  y[at] = value;
  //#endif
}
