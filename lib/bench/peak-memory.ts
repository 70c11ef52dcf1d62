import { readFileSync, writeFileSync } from 'node:fs';

/** Resets the peak of this process's memory if the system can; otherwise the peak is that since the process started. */
export function resetPeakMemory(): void {
  try {
    writeFileSync('/proc/self/clear_refs', '5'); // Source: Linux, Documentation/filesystems/proc.rst
  } catch {
    // Not Linux, or not allowed: the peak then counts from the start of the process.
  }
}

/** Maximum resident memory of this process, in bytes. */
export function peakMemory(): number {
  try {
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    if (kibibytes !== undefined) return Number(kibibytes) * 1024;
  } catch {
    // Not Linux: libuv has a figure.
  }
  return process.resourceUsage().maxRSS * 1024;
}
