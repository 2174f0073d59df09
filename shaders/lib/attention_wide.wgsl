    // wide$h += weights * walked rows, for each of SUMS sums, whose weights are scores$h. Of a step's BN weights of a row those
    // before `near` and from `far` on are zero.
    //#repeat h SUMS
    for (var part = 0u; part < BN / WALKED_ROWS; part++) {
      // The forward had a barrier after its last reads.
      if (PRODUCTS > 1u || part > 0u) { workgroupBarrier(); }
      if (part == 0u) {
        for (var i = 0u; i < TM; i++) {
          for (var j = 0u; j < TN / 4u; j++) {
            memory[ty % LANES_Y * W_PART + ty / LANES_Y * (TM * WQ) + i * WQ + quad0 + j * LANES_X] =
              scores$h[i * (TN / 4u) + j];
          }
        }
      }
      for (var l = 0u; l < WALKED_FETCHES; l++) {
        let i = thread + l * THREADS;
        if (WALKED_ITEMS % THREADS == 0u || i < WALKED_ITEMS) { memory[WALKED_AT + i] = walked_next[l]; }
      }
      workgroupBarrier();
      if (part + 1u < BN / WALKED_ROWS) {
        const fetch_h = $hu;
        let fetch_part = part + 1u;
        //#include attention_fetch_walked
      } else if ($h + 1 < SUMS) {
        const fetch_h = ($h + 1u) % SUMS;
        const fetch_part = 0u;
        //#include attention_fetch_walked
      } else {
        const fetch_h = 0u;
        const fetch_c = 0u;
        let fetch_head = head_next;
        let fetch_walk = walk_next;
        let fetch_last = last_next;
        //#include attention_fetch
      }
      let first = select(0u, near - part * WALKED_ROWS, near > part * WALKED_ROWS);
      let count = select(0u, far - part * WALKED_ROWS, far > part * WALKED_ROWS);
      let wide_rounds = min(p.wide_groups, (count + 4u * WIDE_GROUP - 1u) / (4u * WIDE_GROUP));
      for (var g = first / (4u * WIDE_GROUP); g < wide_rounds; g++) {
        let k0 = g % (WALKED_ROWS / 4u / WIDE_GROUP) * WIDE_GROUP;
        for (var u = 0u; u < WIDE_GROUP; u++) {
          var w: array<vec4f, TM>;
          for (var i = 0u; i < TM; i++) {
            w[i] = memory[ty % LANES_Y * W_PART + ty / LANES_Y * (TM * WQ) + i * WQ + part * (WALKED_ROWS / 4u) + k0 + u];
          }
          for (var d = 0u; d < 4u; d++) {
            for (var j = 0u; j < COLS; j++) {
              if (WIDE % TX == 0u || tx + j * TX < WIDE) {
                let b = memory[WALKED_AT + k0 * (4u * WIDE) + tx + (u * 4u + d) * WIDE + j * TX];
                for (var i = 0u; i < TM; i++) { wide$h[i * COLS + j] += w[i][d] * b; }
              }
            }
          }
        }
      }
    }
    //#end
