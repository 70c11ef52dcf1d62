import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // A crash in native code costs one file, not the run.
    pool: 'forks',
    // Engines have threads of their own: more files at once would only make them wait for each other.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // One case in one of seven full runs failed, beside a build that kept both cores busy, and could not be made to again.
    retry: process.env.CI ? 1 : 0,
  },
});
