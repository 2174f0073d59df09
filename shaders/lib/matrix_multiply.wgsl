// The products of the tiles in workgroup memory, added to c.
//#repeat k K_STEPS
//#repeat i SM
let a$i_$k = subgroupMatrixLoad<Left, row_major>(&a_tile, (warp_m + 16u * $iu) * (A_STRIDE / UNIT) + 16u / UNIT * $ku, A_STRIDE / UNIT);
//#end
//#repeat j SN_PAIRS
//#repeat h 2
//#if B_ROWS_N
let b$j$h_$k = subgroupMatrixLoad<Right, col_major>(&b_tile, (warp_n + 32u * $ju + 16u * $hu) * (B_STRIDE / UNIT) + 16u / UNIT * $ku, B_STRIDE / UNIT);
//#else
let b$j$h_$k = subgroupMatrixLoad<Right, row_major>(&b_tile, 16u * $ku * (B_STRIDE / UNIT) + (warp_n + 32u * $ju + 16u * $hu) / UNIT, B_STRIDE / UNIT);
//#endif
//#end
//#end
//#repeat i SM
//#repeat j SN_PAIRS
//#repeat h 2
c$i_$j$h = subgroupMatrixMultiplyAccumulate(a$i_$k, b$j$h_$k, c$i_$j$h);
//#end
//#end
//#end
//#end
