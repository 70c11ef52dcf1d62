export type { AbortSignalLike } from './abort.js';
export { type Diagnosis, diagnose } from './addon/diagnosis.js';
export type { KvCacheType, WeightStorage } from './addon/types.js';
export {
  type BenchReport,
  type BenchRun,
  benchmark,
  type DecodeResult,
  type MachineLimits,
  type PrefillResult,
} from './bench/benchmark.js';
export { type Plan, type PlannedSetting, plan } from './bench/plan.js';
export type { Series } from './bench/repeats.js';
export { type PromptReport, type RunReport, report } from './bench/report.js';
export { type Inspection, inspect, type ModelConfig } from './checkpoint/inspection.js';
export type { ManifestState } from './checkpoint/manifest.js';
export { type Verification, type VerifiedFile, type VerifyProgress, verify } from './checkpoint/verify.js';
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
