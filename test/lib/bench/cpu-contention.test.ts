import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { busySecondsOfOthers, disturbs, watchOtherProcesses } from '../../../lib/bench/cpu-contention.js';

describe('other processes', () => {
  it('are what the system spent on all but this process', () => {
    // user nice system idle iowait irq softirq steal guest guest_nice, in hundredths of a second
    const stat = 'cpu  100 20 30 5000 400 5 6 7 80 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n';
    const own = { user: 300_000, system: 100_000 }; // microseconds
    expect(busySecondsOfOthers(stat, own)).toBeCloseTo(1.68 - 0.4, 10);
    expect(busySecondsOfOthers('', own)).toBeUndefined();
  });

  it('are forgiven one tick of the clock, and a twentieth of a core', () => {
    expect(disturbs(0.01, 0.001)).toBe(false);
    expect(disturbs(0.02, 0.001)).toBe(true);
    expect(disturbs(0.05, 1)).toBe(false);
    expect(disturbs(0.07, 1)).toBe(true);
  });

  it.runIf(process.platform === 'linux')('are seen when they work', async () => {
    const other = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' });
    try {
      const secondsOfOthers = watchOtherProcesses();
      const isSeen = () => disturbs(secondsOfOthers() ?? 0, 0);
      await expect.poll(isSeen, { timeout: 20_000 }).toBe(true);
    } finally {
      other.kill();
    }
  });
});
