/** What page-job says of a page's frames. */
import { expect, it } from 'vitest';
import { frames } from '../../bench/page-job/frames';

/** Times of frames with these gaps between them. */
function at(gaps: number[]): number[] {
  const times = [100];
  for (const gap of gaps) times.push(times.at(-1)! + gap);
  return times;
}

it('60 frames a second have no slow part', () => {
  const steady = frames(at(new Array<number>(120).fill(1000 / 60)));
  expect(steady).toEqual({ seconds: 2, perSecond: 60, medianMs: 16.7, p99Ms: 16.7, worstMs: 16.7, slowShare: 0 });
});

it('gaps beyond 1/30 s are counted by their time, whatever the mean is', () => {
  // 90 fast frames in a second and a half, then half a second without one.
  const stalled = frames(at([...new Array<number>(90).fill(1000 / 60), 500]));
  expect(stalled).toMatchObject({ seconds: 2, perSecond: 45.5, medianMs: 16.7, worstMs: 500, slowShare: 0.25 });
});

it('two frames tell nothing', () => {
  expect(() => frames([1, 2])).toThrow(/2 frames are too few/);
});
