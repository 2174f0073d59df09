  // The queries [start, end) of SHARE heads from `head` on, and the keys they walk over. The last tiles of a run walk
  // furthest: they go first.
  let place = groups.y - 1u - group.y;
  let tile = tiles[place / PARTS];
  let head = group.x * SHARE;
  let start = tile.start + place % PARTS * TOKENS;
  if (start >= tile.start + tile.count) { return; }
  let end = min(start + TOKENS, tile.start + tile.count);
  // A prefix that ends where the run begins is walked as part of it.
  let joined = tile.prefix_end == tile.run_start;
  let own_first = select(tile.run_start, tile.prefix_start, joined);
  let prefix_steps = select((tile.prefix_end - tile.prefix_start + BN - 1u) / BN, 0u, joined);
  let steps = prefix_steps + (end - own_first + BN - 1u) / BN;
  // The queries of this thread's block begin at first_query and see no key from `sight` on.
  let first_query = start + ty / LANES_Y * BLOCK_ROWS % TOKENS;
  let sight = select(0u, min(first_query + min(BLOCK_ROWS, TOKENS), end), first_query < end);
  let a_head = head;
  let b_head = head / (p.heads / p.kv_heads);
  let head_next = b_head;
  let fetch_head = b_head;
  let fetch_walk = select(tile.prefix_start, own_first, prefix_steps == 0u);
  let fetch_last = select(tile.prefix_end, end, prefix_steps == 0u);
  //#include attention_begin
