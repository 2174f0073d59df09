/** Random bits that depend on a seed and a name only, and the values that checkpoints are filled with. */

/** FNV-1a over UTF-16 units, finished as in MurmurHash3. */
function hash(text: string, seed: number): number {
  let h = (0x811c9dc5 ^ seed) >>> 0;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The generator sfc32 (Chris Doty-Humphrey's PractRand), one stream for each seed and name. */
export class RandomBits {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number, name: string) {
    this.#a = hash(name, seed);
    this.#b = hash(name, this.#a);
    this.#c = seed | 0;
    this.fill(new Uint32Array(12));
  }

  /** Fills `words` with 32 random bits each. */
  fill(words: Uint32Array): void {
    let [a, b, c, counter] = [this.#a | 0, this.#b | 0, this.#c | 0, this.#counter | 0];
    for (let i = 0; i < words.length; i++) {
      const sum = (((a + b) | 0) + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + sum) | 0;
      words[i] = sum;
    }
    [this.#a, this.#b, this.#c, this.#counter] = [a, b, c, counter];
  }
}

/**
 * The standard normal distribution's value below which a share `p` lies, 0 < p < 1; relative error below 1.2e-9 (P. J.
 * Acklam's rational approximations).
 */
export function normalQuantile(p: number): number {
  const polynomial = (x: number, ...coefficients: number[]) => coefficients.reduce((sum, c) => sum * x + c, 0);
  if (p > 0.5) return -normalQuantile(1 - p);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return (
      polynomial(
        q,
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
      ) / polynomial(q, 7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1)
    );
  }
  const q = p - 0.5;
  const r = q * q;
  return (
    (q *
      polynomial(
        r,
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
      )) /
    polynomial(
      r,
      -5.447609879822406e1,
      1.615858368580409e2,
      -1.556989798598866e2,
      6.680131188771972e1,
      -1.328068155288572e1,
      1,
    )
  );
}
