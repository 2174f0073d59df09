  // In main of a kernel that owns a tile of queries and walks their keys: which those are, and in how many steps.
  // The last tiles of a run walk furthest: they go first.
  let place = groups.y - 1u - group.y;
  let tile = tiles[place / PARTS];
  let start = tile.start + place % PARTS * TOKENS;
  if (start >= tile.start + tile.count) { return; }
  let end = min(start + TOKENS, tile.start + tile.count);
  let head0 = group.x * HEADS;
  let kv_head = head0 / (p.heads / p.kv_heads);
  let ldq = p.ld / 4u;
  let k_column = (p.heads + kv_head) * HQ;
  let v_column = (p.heads + p.kv_heads + kv_head) * HQ;
  // A prefix that ends where the run begins is walked as part of it.
  let joined = tile.prefix_end == tile.run_start;
  let own_first = select(tile.run_start, tile.prefix_start, joined);
  let prefix_steps = select((tile.prefix_end - tile.prefix_start + BN - 1u) / BN, 0u, joined);
  let steps = prefix_steps + (end - own_first + BN - 1u) / BN;

  let warp = thread / SUBGROUP;
  let lane = thread % SUBGROUP;
