// The products of the tiles in workgroup memory, added to s: sums of even and of odd k beside each other. UNROLL values of k
// are unrolled: `k_groups` is BK / UNROLL, from a parameter where there are several, so that the compiler keeps them a loop.
//#if K_GROUPS
for (var g = 0u; g < p.k_groups; g++) {
  let at_a = ty + g % (BK / UNROLL) * (UNROLL / 8u) * A_STRIDE;
  let at_b = tx + g % (BK / UNROLL) * (UNROLL / 8u) * B_STRIDE;
//#else
{
  let at_a = ty;
  let at_b = tx;
//#endif
  //#repeat k PAIRS
  {
    const row = $ku % 4u * KQ + $ku / 4u;
    //#repeat j TN_QUADS
    let b$j = b_tile[at_b + row * B_STRIDE + $ju * TX];
    //#end
    //#repeat i TM_QUADS
    let a$i = a_tile[at_a + row * A_STRIDE + $iu * TY];
    //#repeat r 4
    let a$i_$r = bitcast<vec2<f16>>(a$i[$r]);
    //#repeat j TN_QUADS
    //#repeat e 4
    s$i_$r_$j_$e = fma(a$i_$r, bitcast<vec2<f16>>(b$j[$e]), s$i_$r_$j_$e);
    //#end
    //#end
    //#end
    //#end
  }
  //#end
}
if (t % SUMMED == SUMMED - 1u || t + 1u == tiles) {
  //#repeat i TM_QUADS
  //#repeat r 4
  //#repeat j TN_QUADS
  c$i_$r_$j += vec4f(
    //#repeat e 4
    f32(s$i_$r_$j_$e.x) + f32(s$i_$r_$j_$e.y),
    //#end
  );
  //#repeat e 4
  s$i_$r_$j_$e = vec2<f16>();
  //#end
  //#end
  //#end
  //#end
}
