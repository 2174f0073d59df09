// Rows of f32 values as f16 for products with f16 operands. Blocks of 16 rows are brought into f16's range by a power of two, so
// that neither large activations nor small gradients leave it: the block's largest value comes to [128, 256), which leaves a
// factor of 256 for what is scaled alike and 2^21 below before digits are lost. factors[row / 16] undoes it, exactly.
//
// Two kernels, both with a workgroup for every block and RANGE of its columns: with TOPS the largest value of each (SCANS) goes to
// factors[tops_at + block * ranges + range], then all of a block's are looked at. A workgroup for whole rows left most of a large
// GPU idle. Or with SCANS and RANGE for whole rows one kernel alone.
struct Params {
  rows: u32, columns: u32, ld: u32, offset: u32, tops_at: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> factors: array<f32>;
//#if TOPS
//#else
@group(0) @binding(2) var<storage, read_write> half: array<vec2u>;
//#endif

const PER_ROW = RANGE / 4u;

//#if SCANS
//#include reduce
//#endif
//#if TOPS
//#else
//#if TILES
// Tiles of 128 rows and 32 columns, one after the other, as matmul_matrix.wgsl reads them.
fn place(row: u32, column: u32) -> u32 {
  return (row / 128u * (p.columns / 32u) + column / 8u) * 1024u + row % 128u * 8u + column % 8u;
}
//#else
fn place(row: u32, column: u32) -> u32 { return row * (p.columns / 4u) + column; }
//#endif

// 2^n for n in [-126, 127].
fn power_of_two(n: i32) -> f32 { return bitcast<f32>(u32(n + 127) << 23u); }
//#endif

@compute @workgroup_size(ROW_THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32,
) {
  let first = group.y * 16u;
  let count = p.columns / 4u;
  let tops = p.tops_at + group.y * groups.x;
  // All loads before anything waits for one.
  //#repeat i ITEMS
  let row$i = first + (thread + $iu * ROW_THREADS) / PER_ROW;
  let column$i = group.x * PER_ROW + (thread + $iu * ROW_THREADS) % PER_ROW;
  let inside$i = row$i < p.rows && column$i < count;
  var value$i = vec4f();
  if (inside$i) { value$i = x[(p.offset + row$i * p.ld) / 4u + column$i]; }
  //#end
  var top = 0.0;
  //#if SCANS
  //#repeat i ITEMS
  let size$i = abs(value$i);
  top = max(top, max(max(size$i.x, size$i.y), max(size$i.z, size$i.w)));
  //#end
  top = workgroup_max(top, thread);
  //#else
  for (var i = 0u; i < groups.x; i++) { top = max(top, factors[tops + i]); }
  //#endif
  //#if TOPS
  if (thread == 0u) { factors[tops + group.x] = top; }
  //#else
  // The exponent of the largest value. Beyond 2^60 either way digits are lost rather than sums that begin elsewhere.
  let exponent = i32(bitcast<u32>(top) >> 23u) - 127;
  let shift = select(0, clamp(7 - exponent, -60, 60), top > 0.0);
  let factor = power_of_two(shift);
  //#repeat i ITEMS
  if (inside$i) {
    let scaled$i = factor * value$i;
    half[place(row$i, column$i)] = vec2u(pack2x16float(scaled$i.xy), pack2x16float(scaled$i.zw));
  }
  //#end
  if (group.x == 0u && thread == 0u) { factors[group.y] = power_of_two(-shift); }
  //#endif
}
