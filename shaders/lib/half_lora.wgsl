// The blocks of a tile of the LoRA part, values rank0 .. rank0 + BK - 1 of the rank, from memory to workgroup memory at once: U
// scaled like x, and 2^8 less of it, which V, whose values are small at first, has more.
let ldu = p.ldu / 4u;
let ldv = p.ldv / 4u;
let u_column = p.rank * (u32(n0 >= p.second) + u32(n0 >= p.third));
//#repeat s SLOTS
if (is_a$s) {
  let k = rank0 + 8u * (i_a$s % KQ);
  let m = m0 + 4u * (i_a$s / KQ);
  let source = (p.u_offset + m * p.ldu + u_column + k) / 4u;
  let scale = 1.0 / (256.0 * factors[min(m, p.M - 1u) / 16u]);
  //#repeat h 2
  //#repeat r 4
  let u$h_$r = select(vec4f(), in_range(scale * u[source + $ru * ldu + $hu]), k + 4u * $hu < p.rank);
  //#end
  //#repeat c 2
  a_tile[((2u * $hu + $cu) * KQ + i_a$s % KQ) * A_STRIDE + i_a$s / KQ] = vec4u(
    //#repeat r 4
    pack2x16float(vec2f(u$h_$r[2 * $c], u$h_$r[2 * $c + 1])),
    //#end
  );
  //#end
  //#end
} else if (is_b$s) {
  //#if B_ROWS_N
  let k = rank0 + 8u * (i_b$s % KQ);
  let source = (p.v_offset + (n0 + 4u * (i_b$s / KQ)) * p.ldv + k) / 4u;
  //#repeat h 2
  //#repeat r 4
  let v$h_$r = select(vec4f(), in_range(256.0 * v[source + $ru * ldv + $hu]), k + 4u * $hu < p.rank);
  //#end
  //#repeat c 2
  b_tile[((2u * $hu + $cu) * KQ + i_b$s % KQ) * B_STRIDE + i_b$s / KQ] = vec4u(
    //#repeat r 4
    pack2x16float(vec2f(v$h_$r[2 * $c], v$h_$r[2 * $c + 1])),
    //#end
  );
  //#end
  //#end
  //#else
  let pair = i_b$s / (BN / 8u);
  let at = (pair % 4u * KQ + pair / 4u) * B_STRIDE + i_b$s % (BN / 8u);
  let source = (p.v_offset + n0) / 4u + (rank0 + 2u * pair) * ldv + 2u * (i_b$s % (BN / 8u));
  //#repeat h 2
  let is_in$h = rank0 + 2u * pair + $hu * (BK / 2u) < p.rank;
  //#repeat c 2
  let even$h_$c = select(vec4f(), in_range(256.0 * v[source + $hu * (BK / 2u) * ldv + $cu]), is_in$h);
  let odd$h_$c = select(vec4f(), in_range(256.0 * v[source + ($hu * (BK / 2u) + 1u) * ldv + $cu]), is_in$h);
  b_tile[at + $hu * (KQ / 2u) * B_STRIDE + $cu * (BN / 8u)] = vec4u(
    //#repeat e 4
    pack2x16float(vec2f(even$h_$c[$e], odd$h_$c[$e])),
    //#end
  );
  //#end
  //#end
  //#endif
}
//#end
