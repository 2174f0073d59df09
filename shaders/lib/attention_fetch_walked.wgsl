          // WALKED_ROWS rows with all their values, from the buffers into registers.
          for (var l = 0u; l < WALKED_FETCHES; l++) {
            let i = thread + l * THREADS;
            walked_next[l] = load_walked(fetch_h, b_head, walk + fetch_part * WALKED_ROWS + i / WIDE, last, i % WIDE);
          }
