/** What the browser itself reports of tasks that held the page up: above 50 ms by the clock. */
import type { Page } from 'playwright-core';

interface LongTask {
  /** Milliseconds since the page was opened. */
  at: number;
  milliseconds: number;
}

type Watching = typeof globalThis & { longTasks: LongTask[] };

/** Begins to note the page's long tasks, once a task of 80 ms has shown that the browser reports them. */
export async function watchLongTasks(page: Page): Promise<void> {
  await page.evaluate(() => {
    const noted: LongTask[] = [];
    (globalThis as Watching).longTasks = noted;
    new PerformanceObserver((list) => {
      for (const { startTime, duration } of list.getEntries()) {
        noted.push({ at: Math.round(startTime), milliseconds: Math.round(duration) });
      }
    }).observe({ type: 'longtask' });
    setTimeout(() => {
      const end = performance.now() + 80;
      while (performance.now() < end);
    });
  });
  await page.waitForFunction(() => (globalThis as Watching).longTasks.splice(0).length > 0);
}

/** Those noted so far. */
export function longTasks(page: Page): Promise<LongTask[]> {
  return page.evaluate(() => (globalThis as Watching).longTasks);
}

/**
 * Milliseconds for which the page's thread works while `act` lasts: processor time, which other programs on the machine
 * do not lengthen.
 */
export async function workOf(page: Page, act: () => Promise<void>): Promise<number> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
  const worked = async () => {
    const { metrics } = await cdp.send('Performance.getMetrics');
    return 1000 * metrics.find(({ name }) => name === 'TaskDuration')!.value;
  };
  const before = await worked();
  await act();
  const work = (await worked()) - before;
  await cdp.detach();
  return work;
}
