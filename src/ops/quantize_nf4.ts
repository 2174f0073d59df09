/** NF4 codes and block maxima of unquantised weights, to the bits of bitsandbytes. */
import source from '../../shaders/quantize_nf4.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import { itemGroups } from './rows';
import type { WeightFormat } from './weight';

export interface QuantizePiece {
  /** The weights, from element 0 on. */
  source: View;
  format: Exclude<WeightFormat, 'NF4'>;
  /** A multiple of 4. */
  elements: number;
  /** Packed codes of the tensor (or of its part); this piece's begin at element `firstElement`, a multiple of 64. */
  codes: View;
  firstElement: number;
  /** f32 maxima of the tensor's blocks; this piece's begin at `firstBlock`. */
  absmax: View;
  firstBlock: number;
}

export function quantizeNf4Piece(cmd: Commands, piece: QuantizePiece): void {
  const { source: w, format, elements, codes, firstElement, absmax, firstBlock } = piece;
  const blocks = Math.ceil(elements / 64);
  cmd.dispatch(
    { name: 'quantize NF4', source, flags: [`W_${format}`] },
    { w, codes, absmax },
    { elements, first_word: firstElement / 8, first_block: firstBlock },
    itemGroups(blocks),
    40 * elements,
  );
}
