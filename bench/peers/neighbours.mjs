// What else runs on this machine: watched, or made on purpose. Linux only.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100; // of /proc on every Linux that Node runs on
const ONE_TICK = 1 / TICKS_PER_SECOND; // forgiven: the system counts in whole ones
const KERNEL_THREADS_PARENT = 2; // kthreadd

/** Seconds of CPU that all processes have used, with what a hypervisor took away. Source: proc(5), /proc/stat */
export function busySeconds(stat = readFileSync('/proc/stat', 'utf8')) {
  const [user, nice, system, , , irq, softirq, steal] = stat.split('\n', 1)[0].trim().split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

/** Seconds of CPU that a process has used, with those of its children that have ended. Source: proc(5), /proc/pid/stat */
export function processSeconds(stat) {
  const [user, system, childrenUser, childrenSystem] = fieldsOf(stat).slice(11, 15).map(Number);
  return (user + system + childrenUser + childrenSystem) / TICKS_PER_SECOND;
}

/** The fields after the program's name, which is in brackets and may hold spaces and brackets. */
function fieldsOf(stat) {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/**
 * Seconds of CPU that the kernel's own threads have used: they give back and join pages for whoever wants memory, which
 * here are the measured processes.
 */
function kernelThreadSeconds() {
  let seconds = 0;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      if (Number(fieldsOf(stat)[1]) === KERNEL_THREADS_PARENT) seconds += processSeconds(stat);
    } catch {} // it has ended since
  }
  return seconds;
}

function secondsOf(pid) {
  return processSeconds(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

/**
 * Starts to watch. The function that it gives says what share of one core others have used since: neither this process,
 * nor its children that have ended by then, nor `known`, processes that are busy on purpose, nor the kernel's threads.
 */
export function watchOthers(known = []) {
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
