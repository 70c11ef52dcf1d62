import { createHash } from 'node:crypto';
import type { Abort } from '../abort.js';
import { diagnose } from '../addon/diagnosis.js';
import { hashFiles } from '../checkpoint/hash-files.js';
import { type Inspection, inspect } from '../checkpoint/inspection.js';
import { hashCheckpoint, publishedTokenizer, type VerifiedFile, verify } from '../checkpoint/verify.js';
import { Grok, type ModelInfo } from '../engine/grok.js';
import type { Logits } from '../engine/scoring.js';
import { GrokError } from '../errors.js';
import { resolveOptions } from '../options/resolve.js';
import { type ReportOptions, reportOptions } from '../options/schema.js';
import { version } from '../package-root.js';
import {
  type DecodeResult,
  decodeResult,
  type Machine,
  type MachineLimits,
  type PrefillResult,
  prefillResult,
  probe,
  promptOf,
  type Times,
  thisMachine,
} from './benchmark.js';
import { peakMemory, resetPeakMemory } from './peak-memory.js';

/** Do not change these texts: reports of different machines are compared by them. */
const texts: readonly string[] = [
  'The answer to life, the universe and everything is',
  'In 1969, two people walked on the surface of the',
  'def fibonacci(n):\n    if n < 2:\n        return',
];
/** Sizes of the prompts that replace the texts if there is no tokenizer. */
const SIZES_WITHOUT_TOKENIZER = [4, 8, 12];
const GREEDY_TOKENS = 16;
const DECODE_TOKENS = 64;
/** A longer prompt is read only if the time of the previous one shows that there is time. */
const PREFILL_SIZES = [16, 64, 256];
const CONTEXT_SIZE = 512;

export interface PromptReport {
  /** null if there is no tokenizer. */
  readonly text: string | null;
  readonly ids: readonly number[];
  /** SHA-256 of the float32 logits, [ids, vocabulary], little-endian. null: not enough time, or not finite. */
  readonly logitsSha256: string | null;
  /** The mean log-probability of the ids after the first, natural logarithm. */
  readonly meanLogprob: number | null;
  /** The likeliest tokens after the prompt. */
  readonly top: readonly { readonly id: number; readonly logit: number }[];
  /** The greedy continuation within the time; its text is '' if there is no tokenizer. */
  readonly greedyIds: readonly number[];
  readonly greedyText: string;
  /** The error message for logits that are not finite. */
  readonly notFinite: string | null;
}

/** A run of a model on a machine, for the authors of grok-run. It contains no user, host or folder names. */
export interface RunReport {
  readonly version: string;
  /** Start of the run, in ISO 8601. */
  readonly date: string;
  readonly machine: Machine & { readonly platform: string; readonly cpuIsas: readonly string[]; readonly cuda: string };
  readonly model: Pick<
    ModelInfo,
    'config' | 'parameters' | 'memoryBytes' | 'weightStorage' | 'kvCacheType' | 'contextSize'
  > &
    Pick<Inspection, 'format' | 'configFrom' | 'fileBytes' | 'weightBytesPerToken'>;
  /** null: the files were not hashed. */
  readonly files: {
    readonly comparedWithManifest: boolean;
    readonly ok: boolean;
    readonly files: readonly VerifiedFile[];
  } | null;
  /** null: there is none. */
  readonly tokenizer: { readonly sha256: string; readonly isPublished: boolean } | null;
  readonly device: string;
  readonly whyCpu: string | null;
  readonly loadMs: number;
  readonly prompts: readonly PromptReport[];
  readonly prefill: readonly PrefillResult[];
  /** null: no token was decoded in time. */
  readonly decode: DecodeResult | null;
  readonly limits: MachineLimits;
  readonly peakMemoryBytes: number;
}

export async function report(source?: string, options?: ReportOptions): Promise<RunReport> {
  const resolved = resolveOptions(reportOptions, options);
  const { verify: wantsHashes, sectionSeconds, signal, onProgress, ...open } = resolved;
  const milliseconds = sectionSeconds * 1000;
  const date = new Date().toISOString();
  const inspection = await inspect(source, { ...open, maxSequences: 1 });
  const contextSize = open.contextSize ?? Math.min(CONTEXT_SIZE, inspection.config.contextLength);
  const files = await hashesOf(source, inspection, { wantsHashes, signal, onProgress });

  onProgress?.('loading');
  resetPeakMemory();
  const startedAt = performance.now();
  const grok = await Grok.load(source, { ...open, contextSize, maxSequences: 1, signal: options?.signal });
  const loadMs = performance.now() - startedAt;
  const bound: Bound = { milliseconds, signal, onProgress };
  try {
    const tokenizer = await tokenizerOf(grok);
    const prompts: PromptReport[] = [];
    for (const index of texts.keys()) prompts.push(await runPrompt(grok, index, bound));
    const prefill = await measurePrefill(grok, bound);
    const decode = await measureDecode(grok, bound);
    const peakMemoryBytes = peakMemory();
    await grok.close(); // the probe allocates its own memory
    const limits = await probe({ keepDisturbed: true, signal, onProgress }, open.threads ?? 0, grok.info.device);
    const { cpuIsas, cudaUnavailable } = diagnose();
    const { config, parameters, memoryBytes, weightStorage, kvCacheType, contextSize } = grok.info;
    const { format, configFrom, fileBytes, weightBytesPerToken } = inspection;
    return {
      version,
      date,
      machine: { ...thisMachine(), platform: `${process.platform}-${process.arch}`, cpuIsas, cuda: cudaUnavailable },
      model: {
        format,
        configFrom,
        config,
        parameters,
        fileBytes,
        weightBytesPerToken,
        memoryBytes,
        weightStorage,
        kvCacheType,
        contextSize,
      },
      files,
      tokenizer,
      device: grok.info.device,
      whyCpu: grok.info.whyCpu ?? null,
      loadMs,
      prompts,
      prefill: prefill.map(([tokens, times]) => prefillResult(tokens, once(times), inspection, limits)),
      decode: decode && decodeResult(decode.tokens, once(decode), inspection, limits),
      limits,
      peakMemoryBytes,
    };
  } finally {
    await grok.close();
  }
}

/** Maximum time of a section, and its signal. */
interface Bound {
  readonly milliseconds: number;
  readonly signal: Abort | undefined;
  readonly onProgress: ((what: string) => void) | undefined;
}

const once = (times: Times) => ({ values: [times], disturbed: 0, discarded: 0 });

async function hashesOf(
  source: string | undefined,
  inspection: Inspection,
  options: Pick<Bound, 'signal' | 'onProgress'> & { wantsHashes: boolean | undefined },
): Promise<RunReport['files']> {
  const { manifest } = inspection;
  const { wantsHashes = manifest !== null, signal, onProgress } = options;
  if (!wantsHashes) return null;
  onProgress?.('hashing all files');
  const { ok, files } = manifest
    ? await verify(source, { signal: signal?.signal })
    : { ok: true, files: await hashCheckpoint(inspection, { signal }) };
  return { comparedWithManifest: manifest !== null, ok, files };
}

async function tokenizerOf({ info }: Grok): Promise<RunReport['tokenizer']> {
  if (info.tokenizer === undefined) return null;
  const [found] = await hashFiles([info.tokenizer]);
  if (!found || 'problem' in found) return null;
  return { sha256: found.sha256, isPublished: found.sha256 === publishedTokenizer };
}

// ---------------------------------------------------------------- prompts

async function runPrompt(grok: Grok, index: number, bound: Bound): Promise<PromptReport> {
  bound.onProgress?.(`prompt ${index + 1} of ${texts.length}`);
  const text = grok.info.tokenizer === undefined ? null : (texts[index] ?? null);
  const { vocabSize } = grok.info.config;
  const all =
    text === null ? [...promptOf(SIZES_WITHOUT_TOKENIZER[index] ?? 1, vocabSize)] : grok.tokenizer.encode(text);
  const ids = all.slice(0, grok.info.contextSize - 1);
  const errors: GrokError[] = [];
  const logits = await ifFinite(logitsInTime(grok, ids, bound), errors);
  const maxTokens = Math.min(GREEDY_TOKENS, grok.info.contextSize - ids.length);
  const greedy = await ifFinite(greedyInTime(grok, ids, maxTokens, bound), errors);
  return {
    text,
    ids,
    ...figuresOf(logits, ids),
    greedyIds: greedy?.tokenIds ?? [],
    greedyText: greedy?.text ?? '',
    notFinite: errors[0]?.message ?? null,
  };
}

/** Turns GROK_NOT_FINITE into undefined, so that the report records it and continues. */
async function ifFinite<T>(answer: Promise<T>, errors: GrokError[] = []): Promise<T | undefined> {
  return await answer.catch((error) => {
    if (!(error instanceof GrokError) || error.code !== 'GROK_NOT_FINITE') throw error;
    errors.push(error);
    return undefined;
  });
}

function figuresOf(logits: Logits | undefined, ids: readonly number[]) {
  if (!logits) return { logitsSha256: null, meanLogprob: null, top: [] };
  const { data } = logits;
  const vocabSize = logits.shape[1];
  const row = (position: number) => data.subarray(position * vocabSize, (position + 1) * vocabSize);
  const logprobs = ids.slice(1).map((id, position) => (row(position)[id] ?? Number.NaN) - logSumExp(row(position)));
  const last = row(ids.length - 1);
  const ranked = [...last.keys()].sort((a, b) => (last[b] ?? 0) - (last[a] ?? 0));
  return {
    logitsSha256: createHash('sha256').update(data).digest('hex'),
    meanLogprob: logprobs.length > 0 ? logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length : null,
    top: ranked.slice(0, 5).map((id) => ({ id, logit: last[id] ?? Number.NaN })),
  };
}

function logSumExp(logits: Float32Array): number {
  let highest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) highest = Math.max(highest, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - highest);
  return highest + Math.log(sum);
}

async function logitsInTime(
  grok: Grok,
  ids: readonly number[],
  { milliseconds, signal }: Bound,
): Promise<Logits | undefined> {
  const timeout = new AbortController();
  const stopTimer = afterTime(milliseconds, () => timeout.abort());
  const stopListening = signal?.listen(() => timeout.abort());
  try {
    return await grok.logits(ids, { signal: timeout.signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (timeout.signal.aborted) return undefined;
    throw error;
  } finally {
    stopListening?.();
    stopTimer();
  }
}

/** Calls back after a time, or at once if there is none, because a small model answers before any timer. */
function afterTime(milliseconds: number, end: () => void): () => void {
  if (milliseconds <= 0) end();
  const timer = setTimeout(end, milliseconds);
  return () => clearTimeout(timer);
}

/** The greedy continuation within a time. */
async function greedyInTime(grok: Grok, ids: readonly number[], maxTokens: number, { milliseconds, signal }: Bound) {
  const generation = grok.generate(ids, { maxTokens, temperature: 0, ignoreEos: true, signal: signal?.signal });
  const stopTimer = afterTime(milliseconds, () => generation.cancel());
  try {
    return await generation.result;
  } finally {
    stopTimer();
  }
}

// ---------------------------------------------------------------- rates

/** Prompts of growing size, with their times. */
async function measurePrefill(grok: Grok, bound: Bound): Promise<[number, Times][]> {
  const measured: [number, Times][] = [];
  let left = bound.milliseconds;
  let expected = 0;
  for (const size of PREFILL_SIZES) {
    if (size >= grok.info.contextSize || expected > left) break;
    bound.onProgress?.(`prefill of ${size} tokens`);
    const ids = [...promptOf(size, grok.info.config.vocabSize)];
    const completion = await ifFinite(greedyInTime(grok, ids, 1, { ...bound, milliseconds: left }));
    if (!completion || completion.tokenIds.length === 0) break;
    const { firstTokenMs } = completion.timings;
    measured.push([size, completion.timings]);
    left -= firstTokenMs;
    expected = 4 * firstTokenMs;
  }
  return measured;
}

async function measureDecode(grok: Grok, bound: Bound): Promise<(Times & { tokens: number }) | null> {
  bound.onProgress?.(`decode of ${DECODE_TOKENS} tokens`);
  const ids = [...promptOf(8, grok.info.config.vocabSize)].slice(0, grok.info.contextSize - 1);
  const maxTokens = Math.min(1 + DECODE_TOKENS, grok.info.contextSize - ids.length);
  const completion = await ifFinite(greedyInTime(grok, ids, maxTokens, bound));
  const tokens = (completion?.tokenIds.length ?? 0) - 1;
  return completion && tokens > 0 ? { ...completion.timings, tokens } : null;
}
