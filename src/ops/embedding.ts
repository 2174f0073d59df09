/** Token embedding: y [tokens, hidden] = table[ids]. The table is frozen, so there is no backward. */
import source from '../../shaders/embedding.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { KernelProfile } from '../gpu/profile';
import { rowConstants, rowGroups } from './rows';
import { nestedParams, type Weight, weightBindings, weightFlag } from './weight';

export function embedding(cmd: Commands, profile: KernelProfile, table: Weight, ids: View, tokens: number, y: View) {
  for (const part of table.parts) {
    cmd.dispatch(
      { name: 'embedding', source, flags: [weightFlag(table)], constants: rowConstants(profile) },
      { ids, ...weightBindings(table, part), y },
      { tokens, hidden: table.columns, first_row: part.firstRow, rows: part.rows, ...nestedParams(table, part) },
      rowGroups(tokens),
      tokens * table.columns,
    );
  }
}
