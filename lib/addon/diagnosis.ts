import { packageRoot } from '../package-root.js';
import { addonLoader, loadNative } from './loader.js';

/** What the addon says of itself and of this machine. */
export interface Diagnosis {
  /** Path of the .node file. */
  readonly binary: string;
  /** Instruction sets with kernels in this binary that this CPU runs, best first. */
  readonly cpuIsas: readonly string[];
  /** Threads that a model takes by default: cores that this process may use, after its affinity and CPU quota. */
  readonly cpuThreads: number;
  /** Why CUDA cannot be used, or '' when it can. */
  readonly cudaUnavailable: string;
}

/** @throws {GrokError} GROK_NO_BINARY */
export function diagnose(): Diagnosis {
  const addon = loadNative();
  return {
    binary: addonLoader().resolve(packageRoot),
    cpuIsas: addon.cpuIsas(),
    cpuThreads: addon.cpuThreads(),
    cudaUnavailable: addon.cudaUnavailable(),
  };
}
