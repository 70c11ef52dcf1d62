import type { Abort } from '../abort.js';
import { invalidArgument } from '../errors.js';
import { type OpenOptions, resolveInspectOptions, resolveOptions } from './resolve.js';
import { type BenchOptions, benchOptions } from './schema.js';

/** {@link BenchOptions}, checked and complete. */
export interface ResolvedBenchOptions {
  /** Without threads. */
  native: OpenOptions;
  source: string | undefined;
  shape: { name: string; layers: number } | undefined;
  /** 0: one for each usable core. */
  threads: readonly number[];
  prefill: readonly number[];
  prefillIsDefault: boolean;
  decode: number;
  reps: number;
  keepDisturbed: boolean;
  signal: Abort | undefined;
  onProgress: ((what: string) => void) | undefined;
}

export function resolveBenchOptions(options: BenchOptions | undefined): ResolvedBenchOptions {
  const { shape, layers, threads = [0], ...resolved } = resolveOptions(benchOptions, options);
  const { source, device, kvCacheType, weights, memoryLimit } = resolved;
  if (shape !== undefined && source !== undefined) throw invalidArgument('shape', 'left out beside `source`', shape);
  if (layers !== undefined && shape === undefined) throw invalidArgument('layers', 'left out without `shape`', layers);
  if (shape !== undefined && weights === 'mapped') {
    throw invalidArgument('weights', "'packed' beside `shape`, whose weights have no file to map", weights);
  }
  const { prefill, decode, reps, keepDisturbed, signal, onProgress } = resolved;
  return {
    // One text at a time.
    native: resolveInspectOptions({ device, kvCacheType, weights, memoryLimit, maxSequences: 1 }),
    source,
    shape: shape === undefined ? undefined : { name: shape, layers: layers ?? 0 },
    threads,
    ...{ prefill, decode, reps, keepDisturbed, signal, onProgress },
    prefillIsDefault: options?.prefill === undefined,
  };
}
