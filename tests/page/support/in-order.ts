import { beforeEach } from 'vitest';

/** The tests of a file build on one another: once one fails, those after it are skipped instead of waiting in vain. */
export function inOrder(): void {
  let broken: string | null = null;
  beforeEach((test) => {
    if (broken) test.skip(`“${broken}” failed before it`);
    test.onTestFailed(() => {
      broken ??= test.task.name;
    });
  });
}
