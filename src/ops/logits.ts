/** The pieces of the fused head: running log-sum-exp, target logits, mean logits, and the gradient. */
import columnMeanSource from '../../shaders/column_mean.wgsl?raw';
import entryLogitsSource from '../../shaders/entry_logits.wgsl?raw';
import headGradientSource from '../../shaders/head_gradient.wgsl?raw';
import rowMeanLogitSource from '../../shaders/row_mean_logit.wgsl?raw';
import rowStatsSource from '../../shaders/row_stats.wgsl?raw';
import softmaxTileSource from '../../shaders/softmax_tile.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { KernelProfile } from '../gpu/profile';
import { rowConstants, rowGroups } from './rows';
import { nestedParams, type Weight, weightBindings, weightFlag } from './weight';

/** One tile of logits: rows [firstRow, firstRow + rows) by vocabulary [firstColumn, firstColumn + columns). */
export interface LogitsTile {
  view: View;
  ld: number;
  rows: number;
  firstRow: number;
  columns: number;
  firstColumn: number;
}

/** Folds a tile into stats [rows, 4] of (max, Σ exp(z - max), unused, unused); the tile with firstColumn 0 starts anew. */
export function rowStats(cmd: Commands, profile: KernelProfile, tile: LogitsTile, stats: View): void {
  cmd.dispatch(
    { name: 'row stats', source: rowStatsSource, constants: rowConstants(profile) },
    { logits: tile.view, stats },
    {
      rows: tile.rows,
      columns: tile.columns,
      ld: tile.ld,
      first_row: tile.firstRow,
      first: tile.firstColumn === 0 ? 1 : 0,
    },
    [tile.rows],
    8 * tile.rows * tile.columns,
  );
}

/** z [entries]: the logit of each entry's target. */
export function entryLogits(
  cmd: Commands,
  profile: KernelProfile,
  head: Weight,
  entries: View,
  count: number,
  hidden: View,
  z: View,
): void {
  for (const part of head.parts) {
    cmd.dispatch(
      { name: 'entry logits', source: entryLogitsSource, flags: [weightFlag(head)], constants: rowConstants(profile) },
      { entries, ...weightBindings(head, part), z, hidden },
      { entries: count, hidden: head.columns, first_row: part.firstRow, rows: part.rows, ...nestedParams(head, part) },
      rowGroups(count),
      2 * count * head.columns,
    );
  }
}

/** mean [columns]: the mean row of a matrix. */
export function columnMean(cmd: Commands, weight: Weight, mean: View): void {
  weight.parts.forEach((part, i) => {
    cmd.dispatch(
      { name: 'column mean', source: columnMeanSource, flags: [weightFlag(weight)] },
      { ...weightBindings(weight, part), mean },
      {
        rows: part.rows,
        columns: weight.columns,
        total: weight.rows,
        accumulate: i ? 1 : 0,
        ...nestedParams(weight, part),
      },
      [Math.ceil(weight.columns / 4 / 64)],
      part.rows * weight.columns,
    );
  });
}

/** rowLogits [rows] of (mean logit over the vocabulary, sides as a number). */
export function rowMeanLogit(
  cmd: Commands,
  profile: KernelProfile,
  rows: number,
  hiddenSize: number,
  views: { hidden: View; mean: View; sides: View; row_logits: View },
): void {
  cmd.dispatch(
    { name: 'row mean logit', source: rowMeanLogitSource, constants: rowConstants(profile) },
    views,
    { rows, hidden: hiddenSize },
    rowGroups(rows),
    2 * rows * hiddenSize,
  );
}

/** Which entries belong to which row, and the sums per row that both halves of the gradient share. */
export interface HeadViews {
  /** [rows, 4]: the largest logit, Σ exp(z - max), that sum without the targets, unused. */
  stats: View;
  entries: View;
  row_entries: View;
}

/**
 * Folds a tile into stats, turns it into exp(z - max) without the targets in place, and scales `weighted`
 * [all rows, hidden] to the new maximum; the product of the tile and the head is then to be added there.
 */
export function softmaxTile(
  cmd: Commands,
  profile: KernelProfile,
  tile: LogitsTile,
  hidden: number,
  views: HeadViews & { weighted: View },
): void {
  cmd.dispatch(
    { name: 'softmax tile', source: softmaxTileSource, constants: rowConstants(profile) },
    { logits: tile.view, ...views },
    {
      rows: tile.rows,
      columns: tile.columns,
      ld: tile.ld,
      first_row: tile.firstRow,
      first_column: tile.firstColumn,
      first: tile.firstColumn === 0 ? 1 : 0,
      hidden,
    },
    [tile.rows],
    8 * tile.rows * tile.columns,
  );
}

/** grad [rows, hidden]: from the weighted sum that the tiles left to the gradient of the head's input. */
export function headGradient(
  cmd: Commands,
  profile: KernelProfile,
  head: Weight,
  rows: number,
  views: HeadViews & { grad: View; weights: View; z: View },
): void {
  head.parts.forEach((part, i) => {
    cmd.dispatch(
      {
        name: 'head gradient',
        source: headGradientSource,
        flags: [weightFlag(head)],
        constants: rowConstants(profile),
      },
      { ...views, ...weightBindings(head, part) },
      {
        rows,
        hidden: head.columns,
        first_row: part.firstRow,
        part_rows: part.rows,
        first: i === 0 ? 1 : 0,
        ...nestedParams(head, part),
      },
      rowGroups(rows),
      4 * rows * head.columns,
    );
  });
}
