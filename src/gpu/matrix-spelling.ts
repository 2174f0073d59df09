/** The two ways in which WGSL has said how a block of a subgroup matrix lies in memory. */
import type { MatrixUnits } from './tiers';

const LOAD = /subgroupMatrixLoad<(\w+), (row|col)_major>\(([^,]+), ([^,]+), ([^,)]+)\)/g;
const STORE = /subgroupMatrixStore<(row|col)_major>\(([^,]+), ([^,]+), ([^,]+), ([^,)]+)\)/g;

/** A kernel written in the newer spelling, in that of a device. No argument of a load or store may hold a comma. */
export function spelled(source: string, spelling: MatrixUnits['spelling']): string {
  if (spelling === 'template') return source;
  const isColumns = (major: string) => `${major === 'col'}`;
  return source
    .replace(LOAD, (_, type, major, from, at, stride) => {
      return `subgroupMatrixLoad<${type}>(${from}, ${at}, ${isColumns(major)}, ${stride})`;
    })
    .replace(STORE, (_, major, to, at, value, stride) => {
      return `subgroupMatrixStore(${to}, ${at}, ${value}, ${isColumns(major)}, ${stride})`;
    });
}
