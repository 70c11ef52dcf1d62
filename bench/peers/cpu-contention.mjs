// CPU use of other processes: measured, or caused on purpose. Linux only.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100; // of /proc on every Linux that Node runs on
const ONE_TICK = 1 / TICKS_PER_SECOND; // tolerated: the system counts in whole ticks
const KERNEL_THREADS_PARENT = 2; // kthreadd

/** CPU seconds that all processes have used, including time taken by a hypervisor. Source: proc(5), /proc/stat */
export function busySeconds(stat = readFileSync('/proc/stat', 'utf8')) {
  const [user, nice, system, , , irq, softirq, steal] = stat.split('\n', 1)[0].trim().split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

/** CPU seconds that a process has used, including its children that have ended. Source: proc(5), /proc/pid/stat */
export function processSeconds(stat) {
  const [user, system, childrenUser, childrenSystem] = fieldsOf(stat).slice(11, 15).map(Number);
  return (user + system + childrenUser + childrenSystem) / TICKS_PER_SECOND;
}

/** The fields after the program's name, which is in brackets and may contain spaces and brackets. */
function fieldsOf(stat) {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/**
 * CPU seconds of the kernel's own threads. They release and merge pages for processes that need memory, which here are
 * the measured ones.
 */
function kernelThreadSeconds() {
  let seconds = 0;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      if (Number(fieldsOf(stat)[1]) === KERNEL_THREADS_PARENT) seconds += processSeconds(stat);
    } catch {} // it has ended meanwhile
  }
  return seconds;
}

function secondsOf(pid) {
  return processSeconds(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

/**
 * Starts to measure other processes. The returned function gives the share of one core that they have used since. It
 * excludes this process, its children that have ended, `known` processes that are busy on purpose, and the kernel's
 * threads.
 */
export function watchOtherProcesses(known = []) {
  const othersSeconds = () =>
    busySeconds() - kernelThreadSeconds() - ['self', ...known].reduce((sum, pid) => sum + secondsOf(pid), 0);
  const startedAt = performance.now();
  const before = othersSeconds();
  return () => Math.max(0, othersSeconds() - before - ONE_TICK) / ((performance.now() - startedAt) / 1000);
}

/** Ends with its parent, however that ends. */
const BUSY_LOOP = `
  const parent = process.ppid;
  for (let turn = 0; ; turn++) if (turn % 1e7 === 0 && process.ppid !== parent) process.exit();
`;

/** Keeps `count` cores busy until `stop` is called, or this process ends. */
export function startBusyLoops(count) {
  const loops = Array.from({ length: count }, () => spawn(process.execPath, ['-e', BUSY_LOOP], { stdio: 'ignore' }));
  const stop = () => {
    for (const loop of loops) loop.kill('SIGKILL');
  };
  return { pids: loops.map(({ pid }) => pid), stop };
}
