/**
 * How much work a submit may hold: the page's drawing waits for one that runs, and Windows resets a GPU that a submit keeps
 * for two seconds.
 */

/** Milliseconds of GPU time that a submit is filled up to. What is measured lags behind, so less than may be taken. */
export const SUBMIT_MS = 50;

/** After so many milliseconds of GPU time a measurement counts half. */
const HALF_LIFE_MS = 100;

/** Measures the device's speed by its submits, in the units of cost that dispatches name. */
export class Pace {
  /** Cost and milliseconds of the submits so far, older ones fading. The first guess suits a slow device, and fades as well. */
  #cost = 2e5;
  #ms = 1;
  /** When the last submit was done. */
  #idleSince = 0;

  /** The most cost that a submit should hold. */
  get budget(): number {
    return (SUBMIT_MS * this.#cost) / this.#ms;
  }

  /**
   * Takes note of a submit, in the order of submitting; times in milliseconds of one clock. The device began it when
   * it came, or when the one before was done. Two that are heard of together share their time: only sums count. Answers
   * the milliseconds it took.
   */
  done(cost: number, submitted: number, now: number): number {
    const ms = Math.max(0, now - Math.max(submitted, this.#idleSince));
    this.#idleSince = now;
    // Copies and waits tell nothing of the speed.
    if (cost === 0) return ms;
    const fade = 0.5 ** (ms / HALF_LIFE_MS);
    this.#cost = fade * this.#cost + cost;
    this.#ms = fade * this.#ms + ms;
    return ms;
  }
}
