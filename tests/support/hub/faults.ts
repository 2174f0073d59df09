/** How the local Hub misbehaves, as told beforehand. */

export type Fault =
  | { status: number; retryAfter?: number | string; errorCode?: string; message?: string }
  /** The connection breaks after so many bytes of the body. */
  | { dropAfter: number }
  /** The connection stays open but brings no more after so many bytes of the body. */
  | { stallAfter: number }
  /** Ends properly after so many bytes, without a Content-Length. */
  | { endAfter: number }
  /** One bit of this byte of the file is flipped in transit, where the answer holds it. */
  | { flipAt: number }
  /** Other bytes than the file's. */
  | { body: Uint8Array }
  | { bytesPerSecond: number };

/** Which answers a fault is for; what is not said matches everything. */
export interface FaultPlace {
  where?: 'hub' | 'cdn';
  method?: string;
  /** How the address (without its query) ends, or an expression for it. */
  path?: string | RegExp;
  /** Answers to be spoiled before it is used up; 1. */
  times?: number;
}

export interface Asked {
  where: 'hub' | 'cdn';
  method: string;
  path: string;
}

/** Faults in the order in which they were added; each answer meets the first that is for it. */
export class Faults {
  #list: { place: FaultPlace; fault: Fault; left: number }[] = [];

  add(place: FaultPlace, fault: Fault): this {
    this.#list.push({ place, fault, left: place.times ?? 1 });
    return this;
  }

  clear(): void {
    this.#list = [];
  }

  /** Faults that no answer has met yet. */
  get left(): number {
    return this.#list.reduce((sum, { left }) => sum + left, 0);
  }

  take(asked: Asked): Fault | undefined {
    const found = this.#list.find(({ place: { where, method, path }, left }) => {
      const here = typeof path === 'string' ? asked.path.endsWith(path) : (path?.test(asked.path) ?? true);
      return left > 0 && here && (where ?? asked.where) === asked.where && (method ?? asked.method) === asked.method;
    });
    if (found) found.left--;
    return found?.fault;
  }
}
