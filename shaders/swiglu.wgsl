// SwiGLU: act = silu(gate) * up, silu(g) = g σ(g). `gate_up` rows hold gate then up, each of `width` values.
// Backward, in place over gate_up: dgate = dact * up * σ(g) (1 + g (1 - σ(g))), dup = dact * silu(g).
struct Params {
  rows: u32, width: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
//#if BACKWARD
@group(0) @binding(1) var<storage, read_write> gate_up: array<vec4f>;
@group(0) @binding(2) var<storage, read> dact: array<vec4f>;
//#else
@group(0) @binding(1) var<storage, read> gate_up: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> act: array<vec4f>;
//#endif

@compute @workgroup_size(ROW_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let columns = p.width / 4u;
  let row = group.y;
  let i = group.x * ROW_THREADS + thread;
  if (row >= p.rows || i >= columns) { return; }
  let at = row * 2u * columns + i;
  let g = gate_up[at];
  let up = gate_up[at + columns];
  let s = 1.0 / (1.0 + exp(-clamp(g, vec4f(-80.0), vec4f(80.0))));
  //#if BACKWARD
  let d = dact[row * columns + i];
  gate_up[at] = d * up * s * (1.0 + g * (1.0 - s));
  gate_up[at + columns] = d * g * s;
  //#else
  act[row * columns + i] = g * s * up;
  //#endif
}
