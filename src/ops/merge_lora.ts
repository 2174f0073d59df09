/** Rows of a weight with an adapter added, W + s (B A), rounded once to an output dtype. */
import source from '../../shaders/merge_lora.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import { itemGroups } from './rows';
import type { WeightFormat } from './weight';

export interface MergePiece {
  /** The rows from value 0 on, and for NF4 their code and f32 block maxima as lib/weight.wgsl reads them. */
  source: View;
  format: WeightFormat;
  scales?: View;
  /** Values of these rows, and of one; multiples of 4. */
  elements: number;
  columns: number;
  /** A [rank, columns] and B [all rows, rank] in f32; `firstRow` is the row of B for the first of these rows. */
  lora: { a: View; b: View; rank: number; scale: number; firstRow: number };
  /** `rank` 0 leaves the weight as it is; A and B are then not read. */
  merged: View;
  dtype: 'F32' | 'BF16' | 'F16';
}

export function mergeLoraPiece(cmd: Commands, piece: MergePiece): void {
  const { source: w, format, scales, elements, columns, lora, merged, dtype } = piece;
  const { a, b, rank, scale, firstRow } = lora;
  const flags = [`W_${format}`, `OUT_${dtype}`];
  cmd.dispatch(
    { name: `merge LoRA ${flags.join(' ')}`, source, flags },
    { w, ...(scales && { scales }), a, b, merged },
    {
      elements,
      columns,
      rank,
      first_row: firstRow,
      lora_scale: scale,
      zero: 0,
      nested_blocks: 0,
      nested_offset: 0,
      nested_first: 0,
    },
    itemGroups(elements / 4),
    (30 * rank + 10) * elements,
  );
}
