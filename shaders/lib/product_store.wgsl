// From this thread's registers to workgroup memory: the blocks of tile t of K.
//#repeat s SLOTS
if (is_a$s) {
  //#if A_ROWS_K
  //#repeat r 4
  let k$r = i_a$s / (BM / 4u) + $ru * KQ;
  //#if K_TAIL
  q$s_$r = select(vec4f(), q$s_$r, t * BK + k$r < p.K);
  //#endif
  a_tile[(k$r % 4u * KQ + k$r / 4u) * A_STRIDE + i_a$s % (BM / 4u)] = q$s_$r;
  //#end
  //#else
  //#repeat r 4
  //#if K_TAIL
  q$s_$r = select(vec4f(), q$s_$r, t * BK + 4u * (i_a$s % KQ) < p.K);
  //#endif
  //#end
  //#repeat c 4
  a_tile[($cu * KQ + i_a$s % KQ) * A_STRIDE + i_a$s / KQ] = vec4f(q$s_0[$c], q$s_1[$c], q$s_2[$c], q$s_3[$c]);
  //#end
  //#endif
} else if (is_b$s) {
  //#if NF4_WIDE
  //#if B_ROWS_N
  let row = t * BK / 64u % 2u * BN + i_b$s / KQ * 4u;
  let factor = vec4f(absmax[row], absmax[row + 1u], absmax[row + 2u], absmax[row + 3u]);
  // A word holds eight values of k, and a block four.
  //#repeat r 4
  let w$r = raw$s_$r >> (i_b$s % 2u * 16u);
  //#end
  //#repeat c 4
  b_tile[($cu * KQ + i_b$s % KQ) * B_STRIDE + i_b$s / KQ] =
    factor * vec4f(decode_nibble(w0, $cu), decode_nibble(w1, $cu), decode_nibble(w2, $cu), decode_nibble(w3, $cu));
  //#end
  //#else
  let column = i_b$s % (BN / 8u);
  // Every other four threads put their second half down first, so that neighbours never meet in a bank.
  let half = column / 4u % 2u;
  //#repeat r B_READS
  let k$r = i_b$s / (BN / 8u) + $ru * (BK / B_READS);
  let to$r = (k$r % 4u * KQ + k$r / 4u) * B_STRIDE + 2u * column;
  let factor$r = absmax[t * BK / 64u % 2u * BN + (t * BK % 64u + k$r) % 64u * (BN / 64u) + column / 8u];
  b_tile[to$r + half] = factor$r * decode_nibbles(raw$s_$r >> (16u * half));
  b_tile[to$r + 1u - half] = factor$r * decode_nibbles(raw$s_$r >> (16u - 16u * half));
  //#end
  //#endif
  //#else
  //#repeat r 4
  //#if W_F32
  var value$r = q$s_$r;
  //#else
  var value$r = decode_weight4(raw$s_$r);
  //#endif
  //#end
  //#if B_ROWS_N
  //#repeat c 4
  b_tile[($cu * KQ + i_b$s % KQ) * B_STRIDE + i_b$s / KQ] = vec4f(value0[$c], value1[$c], value2[$c], value3[$c]);
  //#end
  //#else
  //#repeat r 4
  let k$r = i_b$s / (BN / 4u) + $ru * KQ;
  //#if K_TAIL
  value$r = select(vec4f(), value$r, t * BK + k$r < p.K);
  //#endif
  b_tile[(k$r % 4u * KQ + k$r / 4u) * B_STRIDE + i_b$s % (BN / 4u)] = value$r;
  //#end
  //#endif
  //#endif
}
//#end
