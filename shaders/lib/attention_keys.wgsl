    // The keys [walk, last) of this step, those of the next one, and how many of BN the thread's block sees.
    let own = step >= prefix_steps;
    let walk = select(tile.prefix_start + step * BN, own_first + (step - prefix_steps) * BN, own);
    let last = select(tile.prefix_end, end, own);
    let own_next = step + 1u >= prefix_steps;
    let walk_next = select(walk + BN, own_first + (step + 1u - prefix_steps) * BN, own_next);
    let last_next = select(tile.prefix_end, end, own_next);
    const near = 0u;
    let far = select(0u, min(BN, min(last, sight) - walk), walk < min(last, sight));
    let rounds = select(0u, p.groups, tx / LANES_X * BLOCK_COLUMNS < far);
