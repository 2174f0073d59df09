          // DC values of the owned rows and of BN walked ones, from the buffers into registers. Rows from the end on are zero.
          for (var l = 0u; l < A_FETCHES; l++) {
            let i = thread + l * THREADS;
            let r = i / DQ;
            a_next[l] = load_a(fetch_h, a_head + r / TOKENS, start + r % TOKENS, end, fetch_c * DQ + i % DQ);
          }
          for (var l = 0u; l < B_FETCHES; l++) {
            let i = thread + l * THREADS;
            b_next[l] = load_b(fetch_h, fetch_head, fetch_walk + i / DQ, fetch_last, fetch_c * DQ + i % DQ);
          }
