// The blocks of a tile of the LoRA part: values rank0 .. rank0 + BK - 1 of the rank, from memory to workgroup memory at once.
let ldu = p.ldu / 4u;
let ldv = p.ldv / 4u;
//#repeat s SLOTS
if (is_a$s) {
  let k = rank0 + 4u * (i_a$s % KQ);
  let source = (p.u_offset + (m0 + 4u * (i_a$s / KQ)) * p.ldu + k) / 4u;
  //#repeat r 4
  let u$r = select(vec4f(), u[source + $ru * ldu], k < p.rank);
  //#end
  //#repeat c 4
  a_tile[($cu * KQ + i_a$s % KQ) * A_STRIDE + i_a$s / KQ] = vec4f(u0[$c], u1[$c], u2[$c], u3[$c]);
  //#end
} else if (is_b$s) {
  //#if B_ROWS_N
  let k = rank0 + 4u * (i_b$s % KQ);
  let source = (p.v_offset + (n0 + 4u * (i_b$s / KQ)) * p.ldv + k) / 4u;
  //#repeat r 4
  let v$r = select(vec4f(), v[source + $ru * ldv], k < p.rank);
  //#end
  //#repeat c 4
  b_tile[($cu * KQ + i_b$s % KQ) * B_STRIDE + i_b$s / KQ] = vec4f(v0[$c], v1[$c], v2[$c], v3[$c]);
  //#end
  //#else
  //#repeat r 4
  let k$r = i_b$s / (BN / 4u) + $ru * KQ;
  let v$r = v[(p.v_offset + n0) / 4u + (rank0 + k$r) * ldv + i_b$s % (BN / 4u)];
  b_tile[(k$r % 4u * KQ + k$r / 4u) * B_STRIDE + i_b$s % (BN / 4u)] = select(vec4f(), v$r, rank0 + k$r < p.rank);
  //#end
  //#endif
}
//#end
