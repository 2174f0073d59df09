import { defineConfig } from 'vitest/config';

const shared = {
  pool: 'forks',
  testTimeout: 120_000,
  hookTimeout: 120_000,
  expect: { poll: { timeout: 30_000 } },
} as const;
const PAGE = 'tests/page/**/*.test.ts';

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
        // The built page in Chromium, one file after the other: each needs the whole machine to train in good time.
        test: {
          ...shared,
          name: 'page',
          include: [PAGE],
          globalSetup: ['tests/support/build-site.ts'],
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
