/** Products in f32 with few columns, each in one dispatch: LoRA's U = X Aᵀ, and dU = dY B. */
import source from '../../shaders/narrow_rows.wgsl?raw';
import type { Commands } from '../gpu/commands';
import { KernelFamily } from '../gpu/kernels';
import { type Product, productBindings, productParams } from './product';

/** Results of one workgroup of shaders/narrow_rows.wgsl. */
const COLUMNS = 16;
const rowsFor = (m: number): 4 | 8 => (m < FEW ? 4 : 8);
/** Fewer rows leave processors of a large GPU without work, and so take smaller workgroups. */
const FEW = 1024;
/** What is wider is a product for tiles; what is shorter leaves threads without work. */
const WIDEST = 48;
const SHORTEST = 256;

const KERNELS = {
  4: new KernelFamily('matmul narrow', source, { ROWS: 4, AHEAD: 4 }),
  8: new KernelFamily('matmul narrow', source, { ROWS: 8, AHEAD: 2 }),
};

/** Records the product and answers true, or leaves it alone. */
export function narrowProduct(cmd: Commands, product: Product): boolean {
  const { m, n, k, weight, lora, residual, columnScale, flags } = product;
  if (flags === 'A_ROWS_K' || weight.format !== 'F32' || lora || residual || columnScale) return false;
  if (n > WIDEST || k < SHORTEST || n % 4 !== 0 || k % 4 !== 0) return false;
  cmd.dispatch(
    KERNELS[rowsFor(m)].with(flags),
    productBindings(product),
    productParams(product),
    [Math.ceil(n / COLUMNS), Math.ceil(m / rowsFor(m))],
    2 * m * n * k,
  );
  return true;
}
