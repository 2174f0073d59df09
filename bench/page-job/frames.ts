/** How smoothly a page draws while something else keeps the GPU busy: the times of its animation frames. */
import type { Page } from 'playwright-core';
import { median } from '../../src/bench/harness';

export interface Frames {
  seconds: number;
  /** Frames a second over the whole time. */
  perSecond: number;
  /** Milliseconds between two frames. */
  medianMs: number;
  p99Ms: number;
  worstMs: number;
  /** Share of the time in gaps of more than 1/30 s, with a millisecond for the clock. */
  slowShare: number;
}

type Watching = typeof globalThis & { frameTimes: number[] };

/** Runs in the page: notes when each frame is begun. Something moves at each, so that there is something to draw. */
function noteFrames(): void {
  const times: number[] = [];
  (globalThis as Watching).frameTimes = times;
  const mark = document.createElement('div');
  mark.style.cssText =
    'position:fixed;bottom:0;left:0;width:4px;height:4px;background:currentColor;pointer-events:none';
  document.body.append(mark);
  const frame = (time: number) => {
    times.push(time);
    mark.style.opacity = times.length % 2 ? '1' : '0.5';
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

/** Begins to note the page's frames, until it is loaded anew. */
export const watchFrames = (page: Page): Promise<void> => page.evaluate(noteFrames);

/** The frames between two times on the page's clock. */
export async function framesBetween(page: Page, from: number, to: number): Promise<Frames> {
  const times = await page.evaluate(() => (globalThis as Watching).frameTimes);
  return frames(times.filter((time) => time >= from && time <= to));
}

/** What the times of frames, in milliseconds, say. Throws RangeError for fewer than three. */
export function frames(times: readonly number[]): Frames {
  if (times.length < 3) throw new RangeError(`${times.length} frames are too few to tell their rate`);
  const gaps = times.slice(1).map((time, i) => time - times[i]);
  const sorted = gaps.toSorted((a, b) => a - b);
  const total = times.at(-1)! - times[0];
  const round = (value: number, digits = 1) => Number(value.toFixed(digits));
  return {
    seconds: round(total / 1000),
    perSecond: round((1000 * gaps.length) / total),
    medianMs: round(median(gaps)),
    p99Ms: round(sorted[Math.min(gaps.length - 1, Math.floor(0.99 * gaps.length))]),
    worstMs: round(sorted.at(-1)!),
    slowShare: round(gaps.filter((gap) => gap > 1000 / 30 + 1).reduce((sum, gap) => sum + gap, 0) / total, 3),
  };
}
