import { readFileSync } from 'node:fs';

/** Unit of /proc/stat, on every Linux. */
const TICKS_PER_SECOND = 100;

/** A measurement is disturbed if other processes use more than this share of one core. */
const MOST_SHARE = 0.05;

/** CPU seconds that other processes used since the call, or undefined if the system does not tell. */
export function watchOtherProcesses(): () => number | undefined {
  const start = secondsOfOthers();
  return () => {
    const now = secondsOfOthers();
    return start === undefined || now === undefined ? undefined : Math.max(0, now - start);
  };
}

/**
 * Whether that much CPU time during `elapsedSeconds` disturbs a measurement. One tick, the system's unit, is tolerated.
 */
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
 * CPU time of all processes minus that of this process, since each started. Counts these columns of /proc/stat: user,
 * nice, system, irq, softirq and steal. It omits idle and iowait, and the guest columns, which are part of user.
 * Exported for its test.
 */
export function busySecondsOfOthers(stat: string, own: NodeJS.CpuUsage): number | undefined {
  const line = /^cpu +(.*)$/m.exec(stat)?.[1];
  if (line === undefined) return undefined;
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(/ +/).map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND - (own.user + own.system) / 1e6;
}
