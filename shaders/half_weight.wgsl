// Values of a frozen weight as f16 for products with f16 operands: eight neighbours at a time, ITEMS times a thread. Row-major, or
// with TILES as half_rows.wgsl does it.
struct Params {
  items: u32, w_offset: u32, columns: u32,
  nested_blocks: u32, nested_offset: f32, nested_first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read_write> half: array<vec4u>;

//#include weight

const THREADS = 128u;

//#if TILES
fn place(item: u32) -> u32 {
  let row = item / (p.columns / 8u);
  let column = item % (p.columns / 8u);
  return (row / 128u * (p.columns / 32u) + column / 4u) * 512u + row % 128u * 4u + column % 4u;
}
//#else
fn place(item: u32) -> u32 { return item; }
//#endif

//#if W_NF4
// A value of the code for each thread that asks, in banks of its own.
var<workgroup> code: array<f32, 16>;
//#endif

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let first = (group.x + group.y * 65535u) * (THREADS * ITEMS) + thread;
  //#if W_NF4
  if (thread < 16u) { code[thread] = nf4_value(thread); }
  //#repeat s ITEMS
  let flat$s = p.w_offset + 8u * min(first + $su * THREADS, p.items - 1u);
  let word$s = w[flat$s / 8u];
  let absmax$s = load_absmax((flat$s + p.nested_first) >> 6u);
  //#end
  workgroupBarrier();
  //#repeat s ITEMS
  // In a byte the even element is the high half.
  let a$s = absmax$s * vec4f(
    code[(word$s >> 4u) & 15u], code[word$s & 15u], code[(word$s >> 12u) & 15u], code[(word$s >> 8u) & 15u]);
  let b$s = absmax$s * vec4f(
    code[(word$s >> 20u) & 15u], code[(word$s >> 16u) & 15u], code[word$s >> 28u], code[(word$s >> 24u) & 15u]);
  //#end
  //#else
  //#repeat s ITEMS
  let flat$s = p.w_offset + 8u * min(first + $su * THREADS, p.items - 1u);
  let a$s = load_weight4(flat$s);
  let b$s = load_weight4(flat$s + 4u);
  //#end
  //#endif
  //#repeat s ITEMS
  if (first + $su * THREADS < p.items) {
    half[place(first + $su * THREADS)] =
      vec4u(pack2x16float(a$s.xy), pack2x16float(a$s.zw), pack2x16float(b$s.xy), pack2x16float(b$s.zw));
  }
  //#end
}
