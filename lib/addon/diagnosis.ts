import { addonFile, loadNative } from './loader.js';

/** Properties of the addon and of this machine. */
export interface Diagnosis {
  /** Path of the .node file. */
  readonly binary: string;
  /** Instruction sets for which this binary has kernels and which this CPU runs, best first. */
  readonly cpuIsas: readonly string[];
  /** Default number of threads: cores that this process may use, within its CPU affinity and CPU quota. */
  readonly cpuThreads: number;
  /** Why CUDA cannot be used, or '' if it can. */
  readonly cudaUnavailable: string;
}

/** @throws {GrokError} GROK_NO_BINARY, GROK_UNSUPPORTED */
export function diagnose(): Diagnosis {
  const addon = loadNative();
  return {
    binary: addonFile(),
    cpuIsas: addon.cpuIsas(),
    cpuThreads: addon.cpuThreads(),
    cudaUnavailable: addon.cudaUnavailable(),
  };
}
