  // Where a thread stands among TX x TY. In a block, neighbours i and i ^ 1 share columns, i and i ^ 2 rows: then a GPU that
  // reads vec4 for a quarter of a subgroup at a time can join two quarters (up to 15 % of the whole kernel on an H100).
  let tx = thread / (LANES_X * LANES_Y) % (TX / LANES_X) * LANES_X + thread / 2u % LANES_X;
  let ty = thread / (LANES_Y * TX) * LANES_Y + thread % 2u + thread / (2u * LANES_X) % (LANES_Y / 2u) * 2u;
  // Its rows are row0 + i * LANES_Y, its vec4 of columns quad0 + j * LANES_X.
  let row0 = ty / LANES_Y * BLOCK_ROWS + ty % LANES_Y;
  let quad0 = tx / LANES_X * (BLOCK_COLUMNS / 4u) + tx % LANES_X;
