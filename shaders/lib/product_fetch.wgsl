// Tile `next` of K on its way into this thread's registers.
//#repeat s SLOTS
if (is_a$s) {
  //#repeat r 4
  //#if A_ROWS_K
  q$s_$r = x[from_a$s + (next * BK + $ru * KQ) * ldx];
  //#else
  q$s_$r = x[from_a$s + next * KQ + $ru * ldx];
  //#endif
  //#end
} else if (is_b$s) {
  //#repeat r B_READS
  //#if B_ROWS_N
  let at$r = from_b$s + next * (BK / 4u) + $ru * ldw;
  //#else
  let at$r = from_b$s + (next * BK + $ru * (BK / B_READS)) * ldw;
  //#endif
  //#if W_F32
  q$s_$r = w[at$r];
  //#else
  //#if NF4_WIDE
  raw$s_$r = w[at$r >> 1u];
  //#else
  raw$s_$r = fetch_weight4(4u * at$r);
  //#endif
  //#endif
  //#end
}
//#end
