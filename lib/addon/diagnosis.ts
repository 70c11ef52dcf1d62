import { packageRoot } from '../package-root.js';
import { addonLoader, loadNative } from './loader.js';

/** What the addon says of itself and of this machine. */
export interface Diagnosis {
  /** Path of the .node file. */
  readonly binary: string;
  /** Instruction sets with kernels in this binary that this CPU runs, best first. */
  readonly cpuIsas: readonly string[];
  /** Why CUDA cannot be used, or '' when it can. */
  readonly cudaUnavailable: string;
}

/** @throws {GrokError} GROK_NO_BINARY */
export function diagnose(): Diagnosis {
  const addon = loadNative();
  return {
    binary: addonLoader().resolve(packageRoot),
    cpuIsas: addon.cpuIsas(),
    cudaUnavailable: addon.cudaUnavailable(),
  };
}
