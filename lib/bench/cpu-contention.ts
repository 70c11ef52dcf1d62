import { readFileSync } from 'node:fs';

/** What /proc/stat counts in, on every Linux. */
const TICKS_PER_SECOND = 100;

/** More than this share of one core makes a measurement doubtful. */
const MOST_SHARE = 0.05;

/** CPU seconds that other processes had in some time, or undefined where the system does not say. */
export function watchOtherProcesses(): () => number | undefined {
  const start = secondsOfOthers();
  return () => {
    const now = secondsOfOthers();
    return start === undefined || now === undefined ? undefined : Math.max(0, now - start);
  };
}

/** Whether that much beside `elapsedSeconds` of measuring spoils it. The system counts in whole ticks: one is forgiven. */
export function disturbs(secondsOfOthers: number, elapsedSeconds: number): boolean {
  return secondsOfOthers > MOST_SHARE * elapsedSeconds + 1.1 / TICKS_PER_SECOND;
}

function secondsOfOthers(): number | undefined {
  return busySecondsOfOthers(readStat(), process.cpuUsage());
}

function readStat(): string {
  try {
    return readFileSync('/proc/stat', 'utf8');
  } catch {
    return ''; // not Linux, or hidden: the load of other processes is unknown
  }
}

/**
 * What all processors did, less what this process did, since each began. Of /proc/stat: user, nice, system, irq, softirq
 * and steal; not idle and iowait, nor guests, who are part of user. Exported for its test.
 */
export function busySecondsOfOthers(stat: string, own: NodeJS.CpuUsage): number | undefined {
  const line = /^cpu +(.*)$/m.exec(stat)?.[1];
  if (line === undefined) return undefined;
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(/ +/).map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND - (own.user + own.system) / 1e6;
}
