// Puts the parts of decode_attention.wgsl together: out = Σ e^(max - top) values / Σ e^(max - top) sum over the splits.
// One thread for four values of one query head.
struct Params {
  count: u32, splits: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

const WIDE = HEAD_DIM / 4u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = (group.x + group.y * 65535u) * 64u + thread;
  if (i >= p.count) { return; }
  let first = i / WIDE * p.splits * (WIDE + 1u);
  var top = -1e30;
  for (var s = 0u; s < p.splits; s++) { top = max(top, partials[first + s * (WIDE + 1u) + WIDE].x); }
  var acc = vec4f();
  var sum = 0.0;
  for (var s = 0u; s < p.splits; s++) {
    let at = first + s * (WIDE + 1u);
    let stats = partials[at + WIDE];
    let factor = exp(stats.x - top);
    sum += factor * stats.y;
    acc += factor * partials[at + i % WIDE];
  }
  out[i] = acc / sum;
}
