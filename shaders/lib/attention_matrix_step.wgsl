    // The keys [k0, last) of this step and those of the next: a prefix's first, then the run's own.
    let own = step >= prefix_steps;
    let k0 = select(tile.prefix_start + step * BN, own_first + (step - prefix_steps) * BN, own);
    let last = select(tile.prefix_end, end, own);
    let next = min(step + 1u, steps - 1u);
    let own_next = next >= prefix_steps;
    let k_next = select(tile.prefix_start + next * BN, own_first + (next - prefix_steps) * BN, own_next);
    let last_next = select(tile.prefix_end, end, own_next);
