/** Forward products of few rows: what decoding makes of every weight. */
import source from '../../shaders/matvec.wgsl?raw';
import type { Commands } from '../gpu/commands';
import type { KernelProfile } from '../gpu/profile';
import { type Product, productBindings, productParams } from './product';
import { rowGroups } from './rows';
import { weightFlag } from './weight';

/** Rows up to which reading a weight once, in long stretches, is faster than tiles. */
export const fewRows = ({ direct }: KernelProfile): number => (direct ? 4 : 8);

/** Threads of a workgroup, and how many of them share one result; the rest are further results. */
const THREADS = 128;
const LANES = 16;

/** Records the product and answers true when it has few enough rows: a `ForwardKernel` of MatmulOps. */
export function matvec(cmd: Commands, profile: KernelProfile, product: Product): boolean {
  const { m, n, k, weight, lora, residual, columnScale } = product;
  if (m > fewRows(profile)) return false;
  if (m === 0 || n === 0) return true;
  const flags = [weightFlag(weight)];
  if (lora) flags.push('LORA');
  if (columnScale) flags.push('COLUMN_SCALE');
  if (residual) flags.push('RESIDUAL');
  // A word of NF4 holds 8 values, all of one block when rows begin at a multiple of 8.
  const wide = weight.format === 'NF4' && k % 8 === 0 && product.wOffset % 8 === 0;
  const blocks = weight.format === 'NF4' && k % 64 === 0 && product.wOffset % 64 === 0;
  if (profile.direct) flags.push('DIRECT', ...(blocks ? ['NF4_BLOCKS'] : []));
  else if (wide) flags.push('NF4_WIDE');
  const rows = 2 ** Math.ceil(Math.log2(m));
  const outputs = THREADS / LANES;
  cmd.dispatch(
    {
      name: `matvec ${flags.join(' ')}`,
      source,
      flags,
      constants: profile.direct
        ? { THREADS: 16, ROWS: rows }
        : { THREADS, LANES, OUTPUTS: outputs, ROWS: rows, ITEM: wide ? 8 : 4 },
    },
    productBindings(product),
    productParams(product),
    profile.direct ? [Math.ceil(n / 64)] : rowGroups(Math.ceil(n / outputs)),
    2 * m * n * (k + (lora?.rank ?? 0)),
  );
  return true;
}
