import { readFileSync, writeFileSync } from 'node:fs';

/** Starts the peak of this process's memory anew, where the system can; else it is that of the process so far. */
export function resetPeakMemory(): void {
  try {
    writeFileSync('/proc/self/clear_refs', '5'); // Source: Linux, Documentation/filesystems/proc.rst
  } catch {
    // Not Linux, or not allowed: the peak then counts from the start of the process.
  }
}

/** The most memory this process had resident, in bytes. */
export function peakMemory(): number {
  try {
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    if (kibibytes !== undefined) return Number(kibibytes) * 1024;
  } catch {
    // Not Linux: libuv knows.
  }
  return process.resourceUsage().maxRSS * 1024;
}
