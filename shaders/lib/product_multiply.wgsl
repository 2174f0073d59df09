// The products of the tiles in workgroup memory, added to c. UNROLL values of k are unrolled: `k_groups` is BK / UNROLL,
// from a parameter where there are several, so that the compiler keeps them a loop.
//#if K_GROUPS
for (var g = 0u; g < p.k_groups; g++) {
  let at_a = ty + g % (BK / UNROLL) * (UNROLL / 4u) * A_STRIDE;
  let at_b = tx + g % (BK / UNROLL) * (UNROLL / 4u) * B_STRIDE;
//#else
{
  let at_a = ty;
  let at_b = tx;
//#endif
  //#repeat k UNROLL
  {
    const row = $ku % 4u * KQ + $ku / 4u;
    //#repeat j TN_QUADS
    let b$j = b_tile[at_b + row * B_STRIDE + $ju * TX];
    //#end
    //#repeat i TM_QUADS
    let a$i = a_tile[at_a + row * A_STRIDE + $iu * TY];
    //#repeat j TN_QUADS
    //#repeat r 4
    c$i_$r_$j += a$i[$r] * b$j;
    //#end
    //#end
    //#end
  }
  //#end
}
