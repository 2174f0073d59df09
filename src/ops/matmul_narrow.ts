/** Products in f32 with few columns, each in one dispatch: LoRA's U = X Aᵀ, and dU = dY B. */
import source from '../../shaders/narrow_rows.wgsl?raw';
import type { Commands } from '../gpu/commands';
import { KernelFamily } from '../gpu/kernels';
import type { KernelProfile } from '../gpu/profile';
import { type Product, productBindings, productParams } from './product';
import { NARROW } from './tile-choice';

/** Columns of one workgroup of shaders/narrow_rows.wgsl. */
const COLUMNS = 16;
/**
 * Rows of one workgroup. Eight read the weight less often; for so few rows times blocks of columns four keep more of a large GPU at work
 * (measured on an H100).
 */
const FEW = { B_ROWS_N: 512, '': 1024 };

/** What is wider is a product for tiles; what is shorter leaves threads without work. */
const WIDEST = NARROW;
const SHORTEST = 256;

const KERNELS = {
  4: new KernelFamily('matmul narrow', source, { ROWS: 4 }),
  8: new KernelFamily('matmul narrow', source, { ROWS: 8 }),
};

/**
 * Whether dU = dY B and the gradient of B [rows, rank] can be made at once for several B one below the other that begin at `starts`: in
 * kernels whose workgroups stay within one of them.
 */
export function takesStarts(
  { direct, tall }: KernelProfile,
  rows: number,
  rank: number,
  starts: readonly number[],
): boolean {
  const narrow = rank <= WIDEST && rank % 4 === 0 && rows >= SHORTEST;
  return !direct && tall !== undefined && narrow && starts.every((start) => start % tall.bm === 0);
}

/** Records the product and answers true, or leaves it alone. */
export function narrowProduct(cmd: Commands, product: Product): boolean {
  const { m, n, k, weight, lora, residual, columnScale, starts, flags } = product;
  if (flags === 'A_ROWS_K' || weight.format !== 'F32' || lora || residual || columnScale) return false;
  if (n > WIDEST || k < SHORTEST || n % 4 !== 0 || k % 4 !== 0) return false;
  const blocks = Math.ceil(n / COLUMNS);
  const rows = m * blocks <= FEW[flags] ? 4 : 8;
  cmd.dispatch(
    KERNELS[rows].with(flags),
    productBindings(product),
    productParams(product),
    [blocks, Math.ceil(m / rows), 1 + (starts?.length ?? 0)],
    2 * m * n * k,
  );
  return true;
}
