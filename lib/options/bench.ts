import type { Abort, AbortSignalLike } from '../abort.js';
import type { NativeOpenOptions } from '../addon/types.js';
import { invalidArgument } from '../errors.js';
import { abortSignal, boolean, callback, integer, integers, rejectUnknownOptions } from './checks.js';
import { defaults, type LoadOptions, resolveInspectOptions } from './options.js';

/** Options of {@link benchmark}. */
export interface BenchOptions {
  /** A checkpoint, as for loading. Default: the embedded model, unless there is a `shape`. */
  source?: string | undefined;
  /** Made-up weights instead: `'tiny'`, `'mid'`, `'slice'`, `'grok1'`, or the path of a config.json. */
  shape?: string | undefined;
  /** Layers of the shape, 1 to 1024. Default: its own. */
  layers?: number | undefined;
  /** Where to run. Default: `'auto'`. */
  device?: LoadOptions['device'];
  /** CPU threads, 1 to 1024, one or several numbers of them in turn. Default: as many as the process may use. */
  threads?: number | readonly number[] | undefined;
  /** How keys and values of earlier tokens are held. Default: `'f32'`. */
  kvCacheType?: LoadOptions['kvCacheType'];
  /** Where the weights are; those of a `shape` are `'packed'`. Default: `'packed'`. */
  weights?: LoadOptions['weights'];
  /** Bytes of memory to stay within. Default: what is free. */
  memoryLimit?: number | undefined;
  /** Sizes of prompts to read, in tokens. Default: 128 and 512, as far as the context has room for them. */
  prefill?: readonly number[] | undefined;
  /** Tokens to generate one by one after the first. Default: 32. */
  decode?: number | undefined;
  /** Repeats of each measurement, 1 to 1000. Default: 5. */
  reps?: number | undefined;
  /** Counts repeats that other processes disturbed. Default: false, they are done again. */
  keepDisturbed?: boolean | undefined;
  /** Aborts; `benchmark` then rejects with the signal's reason. */
  signal?: AbortSignalLike | undefined;
  /** Called with what is being measured now, for people. */
  onProgress?: ((what: string) => void) | undefined;
}

/** {@link BenchOptions}, checked and complete. */
export interface ResolvedBenchOptions {
  /** Without threads. */
  native: NativeOpenOptions;
  source: string | undefined;
  shape: { name: string; layers: number } | undefined;
  /** 0: as many as the process may use. */
  threads: readonly number[];
  prefill: readonly number[];
  prefillIsDefault: boolean;
  decode: number;
  reps: number;
  keepDisturbed: boolean;
  signal: Abort | undefined;
  onProgress: ((what: string) => void) | undefined;
}

const benchNames = [
  'source',
  'shape',
  'layers',
  'device',
  'threads',
  'kvCacheType',
  'weights',
  'memoryLimit',
  'prefill',
  'decode',
  'reps',
  'keepDisturbed',
  'signal',
  'onProgress',
] as const satisfies readonly (keyof BenchOptions)[];

export function resolveBenchOptions(options: BenchOptions | undefined): ResolvedBenchOptions {
  const given = rejectUnknownOptions(options, benchNames);
  const { bench } = defaults;
  const { source, shape } = given;
  if (shape !== undefined && (typeof shape !== 'string' || shape === '')) {
    throw invalidArgument('shape', "'tiny', 'mid', 'slice', 'grok1' or the path of a config.json", shape);
  }
  if (shape !== undefined && source !== undefined) throw invalidArgument('shape', 'left out beside `source`', shape);
  const layers = integer('layers', given.layers, 1, 1024);
  if (layers !== undefined && shape === undefined) throw invalidArgument('layers', 'left out without `shape`', layers);
  const native = resolveInspectOptions({
    device: given.device,
    kvCacheType: given.kvCacheType,
    weights: given.weights,
    memoryLimit: given.memoryLimit,
    maxSequences: 1, // one text at a time
  });
  if (shape !== undefined && native.weights === 'mapped') {
    throw invalidArgument('weights', "'packed' beside `shape`, whose weights have no file to map", native.weights);
  }
  const threads = typeof given.threads === 'number' ? [given.threads] : given.threads;
  return {
    native,
    source,
    shape: shape === undefined ? undefined : { name: shape, layers: layers ?? 0 },
    threads: integers('threads', threads, 1, 1024) ?? [0],
    prefill: integers('prefill', given.prefill, 1, 2 ** 20) ?? bench.prefill,
    prefillIsDefault: given.prefill === undefined,
    decode: integer('decode', given.decode, 1, 2 ** 20) ?? bench.decode,
    reps: integer('reps', given.reps, 1, 1000) ?? bench.reps,
    keepDisturbed: boolean('keepDisturbed', given.keepDisturbed) ?? false,
    signal: abortSignal(given.signal),
    onProgress: callback('onProgress', given.onProgress),
  };
}
