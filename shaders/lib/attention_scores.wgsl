    // scores$h = A Bᵀ, chunk by chunk, in turn for each of PRODUCTS pairs of operands.
    //#repeat h PRODUCTS
    var scores$h = Scores();
    //#end
    for (var c = 0u; c < CHUNKS; c++) {
      //#repeat h PRODUCTS
      workgroupBarrier();
      for (var l = 0u; l < A_FETCHES; l++) {
        let i = thread + l * THREADS;
        let r = i / DQ;
        if (A_ITEMS % THREADS == 0u || i < A_ITEMS) {
          memory[r % LANES_Y * A_PART + r / LANES_Y * DQ + i % DQ] = a_next[l];
        }
      }
      for (var l = 0u; l < B_FETCHES; l++) {
        let i = thread + l * THREADS;
        let r = i / DQ;
        if (B_ITEMS % THREADS == 0u || i < B_ITEMS) {
          memory[B_AT + r / 4u % LANES_X * B_PART + (r / 4u / LANES_X * 4u + r % 4u) * DQ + i % DQ] = b_next[l];
        }
      }
      workgroupBarrier();
      if ($h + 1 < PRODUCTS || c + 1u < CHUNKS) {
        const fetch_h = ($h + 1u) % PRODUCTS;
        let fetch_c = c + ($h + 1u) / PRODUCTS;
        let fetch_head = b_head;
        let fetch_walk = walk;
        let fetch_last = last;
        //#include attention_fetch
      } else {
        const fetch_h = 0u;
        const fetch_part = 0u;
        //#include attention_fetch_walked
      }
      for (var g = 0u; g < rounds; g++) {
        let c0 = g % (DQ / GROUP) * GROUP;
        for (var u = 0u; u < GROUP; u++) {
          var a: array<vec4f, TM>;
          for (var i = 0u; i < TM; i++) {
            a[i] = memory[ty % LANES_Y * A_PART + ty / LANES_Y * (TM * DQ) + i * DQ + c0 + u];
          }
          for (var j = 0u; j < TN / 4u; j++) {
            for (var n = 0u; n < 4u; n++) {
              let b = memory[B_AT + tx % LANES_X * B_PART + tx / LANES_X * (TN * DQ) + (j * 4u + n) * DQ + c0 + u];
              for (var d = 0u; d < 4u; d++) {
                for (var i = 0u; i < TM; i++) { scores$h[i * (TN / 4u) + j][n] += a[i][d] * b[d]; }
              }
            }
          }
        }
      }
      //#end
    }
