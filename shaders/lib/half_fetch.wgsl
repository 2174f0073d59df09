// Tile `next` of K on its way into this thread's registers: of A, and of B where it lies along k, four rows of eight values of
// k; else two pairs of rows of k of eight values.
//#repeat s SLOTS
if (is_a$s) {
  //#repeat r 4
  q$s_$r = x[from_a$s + next * KQ + $ru * ldx];
  //#end
} else if (is_b$s) {
  //#repeat r 4
  //#if B_ROWS_N
  q$s_$r = w[from_b$s + next * KQ + $ru * ldw];
  //#else
  q$s_$r = w[from_b$s + (next * BK + $ru / 2u * (BK / 2u) + $ru % 2u) * ldw];
  //#endif
  //#end
}
//#end
