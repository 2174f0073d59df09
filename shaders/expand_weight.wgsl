// Values of a frozen weight as f16 (TO_F16) or f32, for products that read them so. An item is what one store of 16 bytes holds, eight
// or four neighbours, and a thread has ITEMS of them. Row-major, or with TILES as half_rows.wgsl does it.
struct Params {
  items: u32, w_offset: u32, columns: u32,
  nested_blocks: u32, nested_offset: f32, nested_first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
//#if TO_F16
@group(0) @binding(4) var<storage, read_write> expanded: array<vec4u>;
//#else
@group(0) @binding(4) var<storage, read_write> expanded: array<vec4f>;
//#endif

//#include weight

const THREADS = 128u;
//#if TO_F16
const VALUES = 8u;
//#else
const VALUES = 4u;
//#endif

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

// Four values of a word's low half; in a byte the even one is the high half.
fn decode(word: u32) -> vec4f {
  return vec4f(code[(word >> 4u) & 15u], code[word & 15u], code[(word >> 12u) & 15u], code[(word >> 8u) & 15u]);
}
//#endif

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let first = (group.x + group.y * 65535u) * (THREADS * ITEMS) + thread;
  //#repeat s ITEMS
  let flat$s = p.w_offset + VALUES * min(first + $su * THREADS, p.items - 1u);
  //#end
  //#if W_NF4
  if (thread < 16u) { code[thread] = nf4_value(thread); }
  //#repeat s ITEMS
  let word$s = w[flat$s / 8u];
  let absmax$s = load_absmax((flat$s + p.nested_first) >> 6u);
  //#end
  workgroupBarrier();
  //#if TO_F16
  //#repeat s ITEMS
  let a$s = absmax$s * decode(word$s);
  let b$s = absmax$s * decode(word$s >> 16u);
  //#end
  //#else
  //#repeat s ITEMS
  let a$s = absmax$s * decode(word$s >> (16u * (flat$s / 4u % 2u)));
  //#end
  //#endif
  //#else
  //#repeat s ITEMS
  let a$s = load_weight4(flat$s);
  //#if TO_F16
  let b$s = load_weight4(flat$s + 4u);
  //#endif
  //#end
  //#endif
  //#repeat s ITEMS
  if (first + $su * THREADS < p.items) {
    //#if TO_F16
    expanded[place(first + $su * THREADS)] =
      vec4u(pack2x16float(a$s.xy), pack2x16float(a$s.zw), pack2x16float(b$s.xy), pack2x16float(b$s.zw));
    //#else
    expanded[place(first + $su * THREADS)] = a$s;
    //#endif
  }
  //#end
}
