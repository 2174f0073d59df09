// Values of a frozen weight as f16, row-major, for products with f16 operands: eight neighbours a thread.
struct Params {
  items: u32, w_offset: u32,
  nested_blocks: u32, nested_offset: f32, nested_first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read_write> half: array<vec4u>;

//#include weight

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = (group.x + group.y * 65535u) * 64u + thread;
  if (i >= p.items) { return; }
  let a = load_weight4(p.w_offset + 8u * i);
  let b = load_weight4(p.w_offset + 8u * i + 4u);
  half[i] = vec4u(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
}
