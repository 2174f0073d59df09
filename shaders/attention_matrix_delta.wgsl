// attention_delta.wgsl, with the largest |dOut| of each row beside delta: the power of two that brings a row into f16's range comes
// of it. Four neighbouring threads make a row.
enable subgroups;
struct Params {
  count: u32, head_dim: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> out: array<vec4f>;
@group(0) @binding(2) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> delta: array<f32>;
@group(0) @binding(4) var<storage, read_write> tops: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = (group.x + group.y * 65535u) * 64u + thread / 4u;
  let at = min(row, p.count - 1u);
  let width = p.head_dim / 4u;
  var sum = 0.0;
  var most = vec4f();
  for (var d = thread % 4u; d < width; d += 4u) {
    let value = d_out[at * width + d];
    sum += dot(out[at * width + d], value);
    most = max(most, abs(value));
  }
  var top = max(max(most.x, most.y), max(most.z, most.w));
  sum += subgroupShuffleXor(sum, 1u);
  sum += subgroupShuffleXor(sum, 2u);
  top = max(top, subgroupShuffleXor(top, 1u));
  top = max(top, subgroupShuffleXor(top, 2u));
  if (row < p.count && thread % 4u == 0u) {
    delta[row] = sum;
    tops[row] = top;
  }
}
