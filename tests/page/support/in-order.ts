import type { Page } from 'playwright-core';
import { beforeEach } from 'vitest';

/**
 * The tests of a file build on one another: once one fails, those after it are skipped instead of waiting in vain. What
 * the page looked like then is kept in test-results/.
 */
export function inOrder(page?: () => Page | undefined): void {
  let broken: string | null = null;
  beforeEach((test) => {
    // The same test again is a retry of it.
    if (broken === test.task.name) broken = null;
    if (broken) test.skip(`“${broken}” failed before it`);
    test.onTestFailed(async () => {
      broken ??= test.task.name;
      await page?.()?.screenshot({ path: `test-results/${test.task.name.replace(/\W+/g, '-')}.png` });
    });
  });
}
