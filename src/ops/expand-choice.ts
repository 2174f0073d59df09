/** Which products in f32 have their NF4 weight made f32 first. */
import type { KernelProfile } from '../gpu/profile';
import type { Weight } from './weight';

/** The buffer that such a weight lies in. */
export const EXPANDED = 'expanded.w';

/**
 * Rows from which a product gains: decoding in its kernel costs it a share of its time, expanding a time of its own that is written and
 * read as 4 bytes a value. By estimate both are equal at some 250 rows on an H100; a laptop's memory is slower beside its arithmetic.
 */
const FEWEST_ROWS = 1024;

/** Whether a product of `m` rows reads its weight as f32 from scratch. Adapters that compute on the CPU decode as fast. */
export function expandsNf4(
  { direct, floatMatrix }: Pick<KernelProfile, 'direct' | 'floatMatrix'>,
  { format }: Pick<Weight, 'format'>,
  m: number,
): boolean {
  return format === 'NF4' && m >= FEWEST_ROWS && !direct && !floatMatrix;
}
