/** Dropout on rows, and its backward, with a mask that is a function of where a value is. */
import source from '../../shaders/dropout.wgsl?raw';
import type { Commands } from '../gpu/commands';
import type { Rows } from './product';

/** What a mask depends on beside the place of a value in its row. */
export interface DropoutMask {
  /** Share of the values that are dropped, 0 <= p < 1. */
  p: number;
  seed: number;
  /** One for each use, so that uses have masks of their own. */
  stream: number;
  /** Number of the first row; row i of the mask belongs to number firstToken + i. */
  firstToken: number;
}

/** y = mask x / (1 - p), or y += that with `add`. Offsets of rows must be 0. */
export function dropout(
  cmd: Commands,
  tokens: number,
  columns: number,
  mask: DropoutMask,
  x: Rows,
  y: Rows,
  add = false,
): void {
  cmd.dispatch(
    { name: add ? 'dropout ADD' : 'dropout', source, flags: add ? ['ADD'] : [] },
    { x: x.view, y: y.view },
    {
      tokens,
      columns,
      ldx: x.ld,
      ldy: y.ld,
      first_token: mask.firstToken,
      stream: mask.stream,
      seed: mask.seed,
      threshold: Math.min(0xffffffff, Math.round(mask.p * 2 ** 32)),
      scale: 1 / (1 - mask.p),
    },
    [Math.ceil(columns / 4 / 64), tokens],
    20 * tokens * columns,
  );
}
