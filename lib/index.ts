import type { BenchReport } from './bench/benchmark.js';
import type { Plan } from './bench/plan.js';
import type { RunReport } from './bench/report.js';
import type { Verification } from './checkpoint/verify.js';
import type { BenchOptions, InspectOptions, ReportOptions, VerifyOptions } from './options/schema.js';

export type { AbortSignalLike } from './abort.js';
export { type Diagnosis, diagnose } from './addon/diagnosis.js';
export type { MemoryFit } from './addon/memory-fits.js';
export type { KvCacheType, WeightStorage } from './addon/types.js';
export type {
  BenchReport,
  BenchRun,
  DecodeResult,
  MachineLimits,
  PrefillResult,
} from './bench/benchmark.js';
export type { Plan, PlannedSetting } from './bench/plan.js';
export type { Series } from './bench/repeats.js';
export type { PromptReport, RunReport } from './bench/report.js';
export type { ChatMessage, ChatRole } from './chat/messages.js';
export type { ChatTemplateName } from './chat/templates.js';
export { type Inspection, inspect, type ModelConfig } from './checkpoint/inspection.js';
export type { ManifestState } from './checkpoint/manifest.js';
export type { Verification, VerifiedFile, VerifyProgress } from './checkpoint/verify.js';
export type { ChatInfo, ChatPrompt } from './engine/chat.js';
export type { Chunk, Completion, ScoredToken, Timings, TokenLogprob, Usage } from './engine/completion.js';
export type { Generation } from './engine/generation.js';
export { Grok, type ModelInfo, type Stats } from './engine/grok.js';
export type { Logits } from './engine/scoring.js';
export { GrokError, type GrokErrorCode } from './errors.js';
export type { TokenIds } from './options/checks.js';
export type { GenerationConfig } from './options/generation-config.js';
export type { AnyOption as SchemaOption, Kind as OptionKind } from './options/option.js';
export {
  type BenchOptions,
  type ChatOptions,
  defaults,
  type EncodeOptions,
  type GenerateOptions,
  type InspectOptions,
  type LoadOptions,
  type LoadProgress,
  type LogitsOptions,
  type OpenedModel,
  optionSchema,
  type ReportOptions,
  type ScoreOptions,
  type VerifyOptions,
} from './options/schema.js';
export { version } from './package-root.js';
export type { TextPlace } from './text/sentencepiece/piece-places.js';
export { type IncrementalDecoder, Tokenizer } from './text/tokenizer.js';

// Their code is imported at the first call, so that a program that only generates does not load it.

/**
 * Measures how fast a model runs here, and the limits of this machine. The model is a checkpoint, the embedded model,
 * or synthetic weights of any shape. Repeats during which other processes used more than 5 % of a core are done again,
 * within bounds.
 *
 * @throws {GrokError} the errors of {@link Grok.load}, and GROK_CONTEXT_OVERFLOW; the signal's reason when it aborts
 *
 * @example
 * const { runs } = await benchmark({ shape: 'slice', threads: [1, 2] });
 * console.log(runs.map(({ decode }) => decode.tokensPerSecond.median));
 */
export async function benchmark(options?: BenchOptions): Promise<BenchReport> {
  return (await import('./bench/benchmark.js')).benchmark(options);
}

/**
 * Computes the memory of each setting, and the highest speed of loading and generating on this machine. Measures memory
 * and disk for some seconds.
 * @throws {GrokError} the errors of {@link inspect}
 */
export async function plan(source?: string, options?: InspectOptions): Promise<Plan> {
  return (await import('./bench/plan.js')).plan(source, options);
}

/**
 * Loads a checkpoint and reports how it runs here: files, rates with the limits of the machine, and the model's results
 * for three fixed prompts. Ends within ten minutes after loading, at any speed.
 *
 * @throws {GrokError} the errors of {@link Grok.load} and {@link verify}; the signal's reason when it aborts
 *
 * @example
 * await writeFile('report.json', JSON.stringify(await report('./checkpoints')));
 */
export async function report(source?: string, options?: ReportOptions): Promise<RunReport> {
  return (await import('./bench/report.js')).report(source, options);
}

/**
 * Compares the files of a checkpoint with its manifest, `SHA256SUMS`, or writes that manifest. The result lists files
 * that differ; they are not an error.
 *
 * @throws {GrokError} GROK_NOT_FOUND without a manifest, GROK_BAD_CHECKPOINT for a malformed one, GROK_IO; when
 * writing, also the
 *   errors of {@link inspect}; the signal's reason when it aborts
 *
 * @example
 * const { ok, files } = await verify('./checkpoints');
 * if (!ok) console.error(files.filter(({ status }) => status !== 'ok'));
 */
export async function verify(source?: string, options?: VerifyOptions): Promise<Verification> {
  return (await import('./checkpoint/verify.js')).verify(source, options);
}
