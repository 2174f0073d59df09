/** What goes into and comes out of a group of projections, those of the same input. */
import type { Rows } from '../ops/product';
import type { Weight } from '../ops/weight';
import type { TargetModule } from '../train/hparams';

/** Some of a pack's tokens: all of them, or a stretch that is worked on by itself. */
export interface Span {
  first: number;
  tokens: number;
}

/** LoRA dropout of one pass. */
export interface DropoutPass {
  p: number;
  seed: number;
  /** Number of the pass's first token within its optimizer step. */
  firstToken: number;
}

/** The rows of each projection of a group. */
export type GroupRows = Partial<Record<TargetModule, Rows>>;

/** Where the gradients of a group go, and what they may overwrite. */
export interface GroupGradients {
  /** Gradients of the outputs. */
  dY: GroupRows;
  /** Gradient of x; null when nobody needs it. It may be x's own buffer. */
  dX: Rows | null;
  /** DoRA: room for the output of any projection of the group. */
  scratch: Rows;
  /** DoRA: dY is still needed, so its scaled copy goes to `scratch`; only for groups of one. */
  keepDY?: boolean;
  /** Add to lora.grad.* rather than set it. */
  accumulate: boolean;
}

/** Whether what belongs to each weight, [tokens, its rows], are columns of the same rows one after the other. */
export function besideEachOther(rows: readonly Rows[], weights: readonly Pick<Weight, 'rows'>[]): boolean {
  const [first] = rows;
  let column = first.offset ?? 0;
  return rows.every(({ view, ld, offset = 0 }, i) => {
    const beside = offset === column && ld === first.ld;
    column += weights[i].rows;
    return beside && view.buffer === first.view.buffer && view.offset === first.view.offset;
  });
}
