/**
 * The pseudo-random numbers of a CPU `torch.Generator`: MT19937 with Knuth's seeding, as in Matsumoto and Nishimura's
 * reference code (`init_genrand`).
 */

const N = 624;
const M = 397;

export class MersenneTwister {
  readonly #state = new Uint32Array(N);
  #index = N;

  /** Only the low 32 bits of the seed count, as in torch. */
  constructor(seed: number) {
    const state = this.#state;
    state[0] = Number(BigInt.asUintN(32, BigInt(Math.trunc(seed))));
    for (let i = 1; i < N; i++) {
      const previous = state[i - 1] ^ (state[i - 1] >>> 30);
      state[i] = Math.imul(1812433253, previous) + i;
    }
  }

  /** The next integer in 0 .. 2^32-1. */
  nextU32(): number {
    if (this.#index >= N) this.#twist();
    let y = this.#state[this.#index++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> 0;
  }

  #twist(): void {
    const s = this.#state;
    for (let i = 0; i < N; i++) {
      const y = (s[i] & 0x80000000) | (s[(i + 1) % N] & 0x7fffffff);
      s[i] = s[(i + M) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#index = 0;
  }
}

/** `torch.randperm(n)` with a CPU generator of this seed (spec 3.4). Holds for n below about 2^32 / 20. */
export function randomPermutation(n: number, seed: number): number[] {
  const random = new MersenneTwister(seed);
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = 0; i < n - 1; i++) {
    const j = i + (random.nextU32() % (n - i));
    const kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  return order;
}
