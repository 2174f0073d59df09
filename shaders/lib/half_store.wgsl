// From this thread's registers to workgroup memory: the blocks of tile t of K, turned.
//#repeat s SLOTS
if (is_a$s) {
  //#repeat c 4
  a_tile[($cu * KQ + i_a$s % KQ) * A_STRIDE + i_a$s / KQ] = vec4u(q$s_0[$c], q$s_1[$c], q$s_2[$c], q$s_3[$c]);
  //#end
} else if (is_b$s) {
  //#if B_ROWS_N
  //#repeat c 4
  b_tile[($cu * KQ + i_b$s % KQ) * B_STRIDE + i_b$s / KQ] = vec4u(q$s_0[$c], q$s_1[$c], q$s_2[$c], q$s_3[$c]);
  //#end
  //#else
  let pair$s = i_b$s / (BN / 8u);
  let at$s = (pair$s % 4u * KQ + pair$s / 4u) * B_STRIDE + i_b$s % (BN / 8u);
  // The other pair is BK / 4 further, so its row is KQ / 2 further.
  //#repeat c 2
  b_tile[at$s + $cu * (BN / 8u)] = vec4u(
    low(q$s_0[2 * $c], q$s_1[2 * $c]), high(q$s_0[2 * $c], q$s_1[2 * $c]),
    low(q$s_0[2 * $c + 1], q$s_1[2 * $c + 1]), high(q$s_0[2 * $c + 1], q$s_1[2 * $c + 1]));
  b_tile[at$s + (KQ / 2u) * B_STRIDE + $cu * (BN / 8u)] = vec4u(
    low(q$s_2[2 * $c], q$s_3[2 * $c]), high(q$s_2[2 * $c], q$s_3[2 * $c]),
    low(q$s_2[2 * $c + 1], q$s_3[2 * $c + 1]), high(q$s_2[2 * $c + 1], q$s_3[2 * $c + 1]));
  //#end
  //#endif
}
//#end
