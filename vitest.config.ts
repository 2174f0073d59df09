import { defineConfig } from 'vitest/config';

const shared = {
  pool: 'forks',
  testTimeout: 120_000,
  hookTimeout: 120_000,
  expect: { poll: { timeout: 30_000 } },
} as const;
const PAGE = 'tests/page/**/*.test.ts';
/** What is held to a time by the clock. */
const TIMED = ['tests/page/large-data.test.ts', 'tests/page/offline.test.ts'];

/** The built page in Chromium. */
const page = { ...shared, globalSetup: ['tests/support/build-site.ts'] };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...shared,
          name: 'engine',
          include: ['tests/**/*.test.ts'],
          exclude: [PAGE],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // A page that compiles, or waits, leaves most of two cores to another.
        test: { ...page, name: 'page', include: [PAGE], exclude: TIMED, maxWorkers: 2, sequence: { groupOrder: 1 } },
      },
      {
        // These have the whole machine.
        test: { ...page, name: 'page-timed', include: TIMED, maxWorkers: 1, sequence: { groupOrder: 2 } },
      },
    ],
  },
});
