/** A frozen or trainable matrix on the GPU, in whatever format it is stored. */
import type { View } from '../gpu/commands';

export type WeightFormat = 'F32' | 'BF16' | 'F16' | 'NF4';

/** Whole rows of a matrix that lie in one binding. */
export interface WeightPart {
  firstRow: number;
  rows: number;
  data: View;
  /** Values before the first row within the view; a multiple of 4. */
  offset: number;
}

export interface Weight {
  readonly name: string;
  readonly rows: number;
  /** A multiple of 4. */
  readonly columns: number;
  readonly format: WeightFormat;
  /** In row order; more than one only when the matrix is larger than a binding may be. */
  readonly parts: readonly WeightPart[];
  /** NF4 only: map, code, nested scales and absmax codes, as lib/weight.wgsl reads them. */
  readonly scales?: View;
  readonly nestedBlocks?: number;
  readonly nestedOffset?: number;
  /** Its values change between products, so nothing made from them may be kept. */
  readonly trainable?: boolean;
}

/** A row-major f32 matrix of an adapter inside a buffer, `offset` values from its start. */
export function matrix(name: string, data: View, offset: number, rows: number, columns: number): Weight {
  return { name, rows, columns, format: 'F32', parts: [{ firstRow: 0, rows, data, offset }], trainable: true };
}

/** Preprocessor flag of lib/weight.wgsl for a weight's format. */
export const weightFlag = (weight: Weight): string => `W_${weight.format}`;

/** The bindings and parameters of lib/weight.wgsl for one part. */
export function weightBindings(weight: Weight, part: WeightPart): Record<string, View> {
  return weight.scales ? { w: part.data, scales: weight.scales } : { w: part.data };
}

/** Parameters of lib/weight.wgsl. An NF4 part begins at value 0 of its view. */
export const nestedParams = (weight: Weight, part: WeightPart) => ({
  nested_blocks: weight.nestedBlocks ?? 0,
  nested_offset: weight.nestedOffset ?? 0,
  nested_first: part.firstRow * weight.columns,
});
