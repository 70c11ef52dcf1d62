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
    // Processes started by the dozen on two cores: one in thousands was seen to fail, and only there.
    retry: process.env.CI ? 1 : 0,
  },
});
