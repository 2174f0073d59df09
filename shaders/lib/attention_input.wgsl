// What every attention kernel over packed runs reads.
// One tile: rows [start, start + count) of a run that begins at run_start. A query sees the keys
// [prefix_start, prefix_end) and [run_start, itself]; a key is seen by the queries [itself, query_end).
struct Tile {
  start: u32, count: u32, prefix_start: u32, prefix_end: u32,
  run_start: u32, query_end: u32, unused0: u32, unused1: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<storage, read> tiles: array<Tile>;
