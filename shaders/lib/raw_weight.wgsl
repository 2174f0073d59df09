// Weights on their way into a tile: read early as they are stored, decoded when they have arrived. An item is ITEM
// neighbouring values: 4, or with NF4_WIDE a whole word of 8, whose block's absmax is kept apart (rows and K are then
// multiples of 64).
//#include weight

//#if W_NF4
//#if NF4_WIDE
alias RawWeight = u32;
//#else
struct RawWeight { bits: u32, absmax: f32 }
//#endif

// Reading the code from workgroup memory never conflicts: its 16 values lie in 16 banks.
var<workgroup> nf4_code: array<f32, 16>;

fn prepare_weights(thread: u32) {
  for (var i = thread; i < 16u; i += THREADS) { nf4_code[i % 16u] = nf4_value(i); }
  workgroupBarrier();
}

fn decode_nibbles(bits: u32) -> vec4f {
  return vec4f(
    nf4_code[(bits >> 4u) % 16u], nf4_code[bits % 16u], nf4_code[(bits >> 12u) % 16u], nf4_code[(bits >> 8u) % 16u]);
}

// Value i, up to 3, of the low half of a word.
fn decode_nibble(bits: u32, i: u32) -> f32 { return nf4_code[(bits >> (4u * (i ^ 1u))) % 16u]; }

//#if NF4_WIDE
//#else
fn fetch_weight4(flat: u32) -> RawWeight {
  return RawWeight((w[flat >> 3u] >> (4u * (flat & 4u))), load_absmax((flat + p.nested_first) >> 6u));
}

fn decode_weight4(raw: RawWeight) -> vec4f { return decode_nibbles(raw.bits) * raw.absmax; }
//#endif
//#else
fn prepare_weights(thread: u32) {}
//#endif
//#if W_F32
alias RawWeight = vec4f;
fn fetch_weight4(flat: u32) -> vec4f { return w[flat >> 2u]; }
fn decode_weight4(raw: vec4f) -> vec4f { return raw; }
//#endif
//#if W_BF16
alias RawWeight = vec2u;
fn fetch_weight4(flat: u32) -> vec2u { return w[flat >> 2u]; }
fn decode_weight4(q: vec2u) -> vec4f {
  return bitcast<vec4f>(vec4u(q.x << 16u, q.x & 0xffff0000u, q.y << 16u, q.y & 0xffff0000u));
}
//#endif
//#if W_F16
alias RawWeight = vec2u;
fn fetch_weight4(flat: u32) -> vec2u { return w[flat >> 2u]; }
fn decode_weight4(q: vec2u) -> vec4f { return vec4f(unpack2x16float(q.x), unpack2x16float(q.y)); }
//#endif
