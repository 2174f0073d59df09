/** Speed and time left of a run, from when its steps ended. */
const WINDOW = 12;

export class Pace {
  readonly #ends: { at: number; pairs: number; tokens: number }[] = [];

  constructor(now = performance.now()) {
    this.#ends.push({ at: now, pairs: 0, tokens: 0 });
  }

  /** Tells that a step of so many pairs and tokens has ended. */
  step(pairs: number, tokens: number, now = performance.now()): void {
    this.#ends.push({ at: now, pairs, tokens });
    if (this.#ends.length > WINDOW) this.#ends.shift();
  }

  /** Over the last steps; 0 before the first has ended. */
  get rates(): { tokensPerSecond: number; pairsPerSecond: number; secondsPerStep: number } {
    const [first, ...rest] = this.#ends;
    const seconds = rest.length ? (rest.at(-1)!.at - first.at) / 1000 : 0;
    if (seconds <= 0) return { tokensPerSecond: 0, pairsPerSecond: 0, secondsPerStep: 0 };
    const sum = (key: 'pairs' | 'tokens') => rest.reduce((total, e) => total + e[key], 0);
    return {
      tokensPerSecond: sum('tokens') / seconds,
      pairsPerSecond: sum('pairs') / seconds,
      secondsPerStep: seconds / rest.length,
    };
  }
}
