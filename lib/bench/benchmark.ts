import os from 'node:os';
import type { Abort } from '../abort.js';
import { callNative } from '../addon/calls.js';
import { chosenIsa } from '../addon/isa.js';
import { loadNative } from '../addon/loader.js';
import type {
  KvCacheType,
  NativeInspection,
  NativeModel,
  NativeProbe,
  NativeRate,
  WeightStorage,
} from '../addon/types.js';
import { sourcePath } from '../checkpoint/inspection.js';
import { loadWeights } from '../engine/grok.js';
import { greedyRequest } from '../engine/native-request.js';
import { runToEnd } from '../engine/run-to-end.js';
import { StepLoop } from '../engine/step-loop.js';
import { GrokError } from '../errors.js';
import { type ResolvedBenchOptions, resolveBenchOptions } from '../options/bench.js';
import type { BenchOptions } from '../options/schema.js';
import { version } from '../package-root.js';
import { peakMemory, resetPeakMemory } from './peak-memory.js';
import { type Repeats, repeat, type Series, seriesOf } from './repeats.js';

/** Tokens of the prompt before decoding. */
const SHORT_PROMPT = 8;

export type { Series };

/**
 * The limits of the machine with a number of threads, measured in the same run. For a run on a GPU they are the limits
 * of the GPU's memory: `isa` is its name, `threads` the thread that launches kernels, and `multiplyAdds` is empty.
 */
export interface MachineLimits extends Readonly<NativeProbe> {
  /** GB/s of copying: bytes read plus bytes written. Only for a GPU. */
  readonly copy?: NativeRate;
  /** Other processes used more than 5 % of a core during each attempt. */
  readonly disturbed: boolean;
}

export interface PrefillResult {
  /** Tokens of the prompt. */
  readonly tokens: number;
  /** Prompt tokens a second, until the first token after them. */
  readonly tokensPerSecond: Series;
  readonly firstTokenMs: Series;
  /** Multiply-adds, counted from shapes, in 1e9 a second at the median rate. */
  readonly gmacsPerSecond: number;
  /**
   * Share of the median peak of each kind of multiply-add that this instruction set uses in products, by its name. Each
   * is counted as often as a product uses it: twice if an activation is two bytes.
   */
  readonly shareOfPeak: Readonly<Record<string, number>>;
}

export interface DecodeResult {
  readonly promptTokens: number;
  /** Generated after the first. */
  readonly tokens: number;
  readonly tokensPerSecond: Series;
  /** After the short prompt. */
  readonly firstTokenMs: Series;
  /** Weights read, counted from shapes, in 1e9 bytes a second at the median rate. */
  readonly gigabytesPerSecond: number;
  /** Share of the median probed bandwidth. */
  readonly shareOfBandwidth: number;
}

export interface BenchRun {
  readonly threads: number;
  /** Shown to people, such as `cpu (avx2, 2 threads)`. */
  readonly device: string;
  /** From opening until all weights are loaded. */
  readonly loadMs: number;
  /** Maximum resident memory, including the library and Node. */
  readonly peakMemoryBytes: number;
  readonly prefill: readonly PrefillResult[];
  readonly decode: DecodeResult;
  readonly limits: MachineLimits;
}

export interface Machine {
  readonly cpu: string;
  readonly cpuThreads: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
}

export interface BenchReport {
  /** Version of grok-run. */
  readonly version: string;
  /** Start of the run, in ISO 8601. */
  readonly date: string;
  readonly machine: Machine;
  readonly model: {
    /** The checkpoint's path as given, the name of the synthetic shape, or `grok-tiny`. */
    readonly name: string;
    readonly isSynthetic: boolean;
    readonly config: NativeInspection['config'];
    readonly parameters: { readonly total: number; readonly active: number };
    /** In the backend's layout. */
    readonly weightBytes: number;
    /** Bytes read to decode one token by itself: dense weights once, and those of its experts. */
    readonly weightBytesPerToken: number;
    readonly weightStorage: WeightStorage;
    readonly kvCacheType: KvCacheType;
  };
  /** One for each number of threads. */
  readonly runs: readonly BenchRun[];
  /** Limits with one thread; each run has those of its own threads. For runs on a GPU, the GPU's. */
  readonly oneThreadLimits: MachineLimits;
}

export async function benchmark(options?: BenchOptions): Promise<BenchReport> {
  const resolved = resolveBenchOptions(options);
  const date = new Date().toISOString();
  const runs: BenchRun[] = [];
  let inspection: NativeInspection | undefined;
  for (const threads of resolved.threads) {
    resolved.signal?.throwIfAborted();
    const measured = await measureModel(resolved, threads);
    inspection = measured.inspection;
    runs.push(measured.run);
  }
  if (!inspection) throw new GrokError('No number of threads was measured', { code: 'GROK_INTERNAL' });
  const ofOneThread = runs.find(({ threads }) => threads === 1)?.limits;
  return {
    version,
    date,
    machine: thisMachine(),
    model: {
      name: resolved.shape?.name ?? resolved.source ?? 'grok-tiny',
      isSynthetic: resolved.shape !== undefined,
      config: inspection.config,
      parameters: { total: inspection.numParameters, active: inspection.numActiveParameters },
      weightBytes: inspection.memory.weights,
      weightBytesPerToken: inspection.weightBytesPerToken,
      weightStorage: inspection.memory.weightStorage,
      kvCacheType: inspection.memory.kvCacheType,
    },
    runs,
    oneThreadLimits: ofOneThread ?? (await probe(resolved, 1, 'cpu')),
  };
}

export function thisMachine(): Machine {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cpuThreads: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    kernel: os.release(),
    node: process.version,
  };
}

async function measureModel(
  options: ResolvedBenchOptions,
  threads: number,
): Promise<{ inspection: NativeInspection; run: BenchRun }> {
  const { signal, shape } = options;
  const native = { ...options.native, threads, isa: chosenIsa() };
  resetPeakMemory();
  const startedAt = performance.now();
  const model = await callNative(async () =>
    shape ? loadNative().openSynthetic(shape, native) : loadNative().open(sourcePath(options.source), native),
  );
  const stop = () => void model.close().catch(() => {}); // closed again below, which waits
  const stopListening = signal?.listen(stop);
  try {
    const prefillSizes = sizesThatFit(options, model.contextSize);
    options.onProgress?.(`loading for ${model.device}`);
    await loadWeights(model, { signal, onProgress: undefined });
    const loadMs = performance.now() - startedAt;

    const loop = new StepLoop(model); // the loop that drives every model
    const prefill: [number, Repeats<Times>][] = [];
    for (const tokens of prefillSizes) {
      prefill.push([tokens, await measureGeneration(model, loop, tokens, 0, options)]);
    }
    const decode = await measureGeneration(model, loop, SHORT_PROMPT, options.decode, options);
    const peakMemoryBytes = peakMemory();
    const { inspection, device } = model;
    const limits = await probe(options, threads, device);
    return {
      inspection,
      run: {
        threads: limits.threads,
        device,
        loadMs,
        peakMemoryBytes,
        prefill: prefill.map(([tokens, times]) => prefillResult(tokens, times, inspection, limits)),
        decode: decodeResult(options.decode, decode, inspection, limits),
        limits,
      },
    };
  } catch (error) {
    signal?.throwIfAborted(); // otherwise the error would say that the model was closed
    throw error;
  } finally {
    stopListening?.();
    await model.close();
  }
}

/** Given sizes must fit the context; default sizes that do not fit are left out. */
function sizesThatFit({ prefill, prefillIsDefault, decode }: ResolvedBenchOptions, contextSize: number): number[] {
  const fits = (tokens: number) => tokens + 1 <= contextSize;
  const misfit = prefillIsDefault ? undefined : prefill.find((tokens) => !fits(tokens));
  const needed = Math.max(SHORT_PROMPT + 1 + decode, (misfit ?? 0) + 1);
  if (needed > contextSize) {
    throw new GrokError(`The benchmark needs a context of ${needed} tokens, and the model has ${contextSize}`, {
      code: 'GROK_CONTEXT_OVERFLOW',
      hint: `Set a smaller \`${misfit === undefined ? 'decode' : 'prefill'}\`.`,
    });
  }
  return prefill.filter(fits);
}

// ---------------------------------------------------------------- measuring

export interface Times {
  readonly firstTokenMs: number;
  /** From the first token to the last. */
  readonly decodeMs: number;
}

async function measureGeneration(
  model: NativeModel,
  loop: StepLoop,
  promptTokens: number,
  decodeTokens: number,
  options: ResolvedBenchOptions,
): Promise<Repeats<Times>> {
  const what = decodeTokens > 0 ? `decode of ${decodeTokens} tokens` : `prefill of ${promptTokens} tokens`;
  options.onProgress?.(`${what}, ${model.device}`);
  const run = () => generate(model, loop, promptTokens, decodeTokens, options.signal);
  await run(); // the first run touches memory for the others
  return await repeat(run, options);
}

/** Decodes greedily without [EOS]: always the requested number of tokens. */
async function generate(
  model: NativeModel,
  loop: StepLoop,
  promptTokens: number,
  decodeTokens: number,
  signal: Abort | undefined,
): Promise<Times> {
  const startedAt = performance.now();
  const prompt = promptOf(promptTokens, model.inspection.config.vocabSize);
  let firstTokenAt: number | undefined;
  await runToEnd(loop, greedyRequest(prompt, 1 + decodeTokens), signal, ({ token }) => {
    if (token) firstTokenAt ??= performance.now();
  });
  const lastTokenAt = performance.now();
  firstTokenAt ??= lastTokenAt;
  return { firstTokenMs: firstTokenAt - startedAt, decodeMs: lastTokenAt - firstTokenAt };
}

/** Token ids from the whole vocabulary, the same each time: different tokens choose different experts. */
export function promptOf(size: number, vocabSize: number): Int32Array {
  let state = 1;
  return Int32Array.from({ length: size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // Source: Numerical Recipes, "quick and dirty" generator
    return Math.floor((state / 2 ** 32) * vocabSize);
  });
}

export async function probe(
  options: Pick<ResolvedBenchOptions, 'keepDisturbed' | 'signal' | 'onProgress'>,
  threads: number,
  device: string,
): Promise<MachineLimits> {
  const isCuda = device.startsWith('cuda');
  const who = isCuda ? device : `the machine, ${threads === 0 ? 'all' : threads} threads,`;
  options.onProgress?.(`limits of ${who}`);
  const measure = async () => {
    options.signal?.throwIfAborted();
    return await callNative<Omit<MachineLimits, 'disturbed'>>(() =>
      isCuda ? probeCuda() : loadNative().probe(threads, chosenIsa()),
    );
  };
  // The probe repeats internally: one undisturbed run is enough.
  const { values, disturbed } = await repeat(measure, { reps: 1, keepDisturbed: options.keepDisturbed });
  const last = values.at(-1);
  if (!last) throw new GrokError('The probe returned no values', { code: 'GROK_INTERNAL' });
  return { ...last, disturbed: disturbed > 0 };
}

async function probeCuda(): Promise<Omit<MachineLimits, 'disturbed'>> {
  const { device, ...rates } = await loadNative().probeCuda();
  return { isa: device, threads: 1, multiplyAdds: [], ...rates };
}

// ---------------------------------------------------------------- counting

/** Properties of a model from which rates are counted. */
type Counted = Pick<NativeInspection, 'config' | 'tensors' | 'weightBytesPerToken'>;

export function prefillResult(
  tokens: number,
  times: Repeats<Times>,
  inspection: Counted,
  limits: MachineLimits,
): PrefillResult {
  const tokensPerSecond = seriesOf(times, ({ firstTokenMs }) => (tokens * 1000) / firstTokenMs);
  const gmacsPerSecond = ((prefillMacs(inspection, tokens) / tokens) * tokensPerSecond.median) / 1e9;
  return {
    tokens,
    tokensPerSecond,
    firstTokenMs: seriesOf(times, ({ firstTokenMs }) => firstTokenMs),
    gmacsPerSecond,
    shareOfPeak: Object.fromEntries(
      limits.multiplyAdds
        .filter(({ perProduct }) => perProduct > 0)
        .map(({ name, median, perProduct }) => [name, (gmacsPerSecond * perProduct) / median]),
    ),
  };
}

export function decodeResult(
  tokens: number,
  times: Repeats<Times>,
  inspection: Counted,
  limits: MachineLimits,
): DecodeResult {
  const tokensPerSecond = seriesOf(times, ({ decodeMs }) => (tokens * 1000) / decodeMs);
  const gigabytesPerSecond = (inspection.weightBytesPerToken * tokensPerSecond.median) / 1e9;
  return {
    promptTokens: SHORT_PROMPT,
    tokens,
    tokensPerSecond,
    firstTokenMs: seriesOf(times, ({ firstTokenMs }) => firstTokenMs),
    gigabytesPerSecond,
    shareOfBandwidth: gigabytesPerSecond / limits.read.median,
  };
}

/**
 * Multiply-adds to read a prompt and score the token after it. Counts every matrix once a token but only the chosen
 * experts, q k and the sum of v over all earlier positions, and the head once. Exact; norms and softmax are not counted.
 */
export function prefillMacs({ config, tensors }: Pick<NativeInspection, 'config' | 'tensors'>, tokens: number): number {
  let perToken = 0;
  for (const { name, shape } of tensors) {
    if (shape.length < 2 || name.endsWith('/embeddings')) continue;
    const size = shape.reduce((product, axis) => product * axis, 1);
    perToken += shape.length === 3 ? (size / config.numExperts) * config.expertsPerToken : size;
  }
  const positions = (tokens * (tokens + 1)) / 2; // each token attends to itself and to earlier tokens
  const attention = config.numLayers * 2 * config.numQHeads * config.headDim * positions;
  return perToken * tokens + attention + config.vocabSize * config.dModel;
}
