/** Distances between results and references, and one assertion that names what differs. */

/** ||a - b|| / ||b||; the plain norm of the difference where b is all zeros. NaN anywhere gives NaN. */
export function relativeL2(a: ArrayLike<number>, b: ArrayLike<number>): number {
  checkLengths(a, b);
  let diff = 0;
  let norm = 0;
  for (let i = 0; i < b.length; i++) {
    diff += (a[i] - b[i]) ** 2;
    norm += b[i] ** 2;
  }
  return norm === 0 ? Math.sqrt(diff) : Math.sqrt(diff / norm);
}

/** Largest |a - b|. NaN anywhere gives NaN. */
export function maxAbs(a: ArrayLike<number>, b: ArrayLike<number>): number {
  checkLengths(a, b);
  let worst = 0;
  for (let i = 0; i < b.length; i++) {
    const diff = Math.abs(a[i] - b[i]);
    if (Number.isNaN(diff)) return diff;
    if (diff > worst) worst = diff;
  }
  return worst;
}

export interface Tolerance {
  /** Bound on ||actual - expected|| / ||expected||. */
  relativeL2?: number;
  /** Bound on max |actual - expected|. */
  maxAbs?: number;
}

/** Throws with the figures when `actual` is not within the tolerance of `expected`, or holds a value that is not finite. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
  what = 'result',
): void {
  if (tolerance.relativeL2 === undefined && tolerance.maxAbs === undefined) {
    throw new Error('expectClose needs a tolerance: relativeL2, maxAbs or both');
  }
  if (expected.length === 0) throw new Error(`${what}: the reference is empty`);
  checkLengths(actual, expected);
  for (let i = 0; i < actual.length; i++) {
    if (!Number.isFinite(actual[i])) throw new Error(`${what}: element ${i} is ${actual[i]}, expected ${expected[i]}`);
  }
  const l2 = relativeL2(actual, expected);
  const abs = maxAbs(actual, expected);
  const far = l2 > (tolerance.relativeL2 ?? Infinity) || abs > (tolerance.maxAbs ?? Infinity);
  if (!far) return;
  let at = 0;
  while (Math.abs(actual[at] - expected[at]) !== abs) at++;
  throw new Error(
    `${what}: relative L2 ${l2.toExponential(2)}, largest difference ${abs.toExponential(2)} ` +
      `at element ${at} of ${actual.length} (${actual[at]}, expected ${expected[at]}); allowed ${JSON.stringify(tolerance)}`,
  );
}

function checkLengths(a: ArrayLike<number>, b: ArrayLike<number>): void {
  if (a.length !== b.length) throw new Error(`lengths differ: ${a.length} and ${b.length}`);
}
