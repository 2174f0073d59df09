// The tiles of A and B, from this thread's registers to workgroup memory.
//#repeat s A_LOADS
let to_a$s = i_a$s / (BK / 8u) * (A_STRIDE / UNIT) + i_a$s % (BK / 8u) * (8u / UNIT);
//#if VECTORS
a_tile[to_a$s] = next_a$s;
//#else
//#repeat q 4
let a$s$q = bitcast<vec2<f16>>(next_a$s[$q]);
a_tile[to_a$s + 2u * $qu] = a$s$q.x;
a_tile[to_a$s + 2u * $qu + 1u] = a$s$q.y;
//#end
//#endif
//#end
//#repeat s B_LOADS
//#if B_ROWS_N
let to_b$s = i_b$s / (BK / 8u) * (B_STRIDE / UNIT) + i_b$s % (BK / 8u) * (8u / UNIT);
//#else
let to_b$s = i_b$s % 128u / 4u * (B_STRIDE / UNIT) + (i_b$s / 128u * 4u + i_b$s % 4u) * (8u / UNIT);
//#endif
//#if VECTORS
b_tile[to_b$s] = next_b$s;
//#else
//#repeat q 4
let b$s$q = bitcast<vec2<f16>>(next_b$s[$q]);
b_tile[to_b$s + 2u * $qu] = b$s$q.x;
b_tile[to_b$s + 2u * $qu + 1u] = b$s$q.y;
//#end
//#endif
//#end
