export type { AbortSignalLike } from './abort.js';
export {
  type BenchReport,
  type BenchRun,
  benchmark,
  type DecodeResult,
  type MachineLimits,
  type PrefillResult,
  type Series,
} from './bench.js';
export type { BenchOptions } from './bench-options.js';
export type { Chunk, Completion, ScoredToken, Timings, TokenLogprob, Usage } from './completion.js';
export { GrokError, type GrokErrorCode } from './errors.js';
export type { Generation } from './generation.js';
export type { GenerationConfig } from './generation-config.js';
export { Grok, type Inspection, inspect, type ModelConfig, type ModelInfo, type Stats } from './grok.js';
export type { Logits } from './judging.js';
export type { ManifestState } from './manifest.js';
export { type Diagnosis, diagnose, type KvCacheType, type WeightStorage } from './native.js';
export {
  defaults,
  type GenerateOptions,
  type InspectOptions,
  type LoadOptions,
  type LoadProgress,
  type LogitsOptions,
  type OpenedModel,
  type ScoreOptions,
  type TokenIds,
} from './options.js';
export { version } from './package-root.js';
export { type Plan, type PlannedSetting, plan } from './plan.js';
export { type PromptReport, type ReportOptions, type RunReport, report } from './report.js';
export type { TextPlace } from './sentencepiece/piece-places.js';
export { type EncodeOptions, type IncrementalDecoder, Tokenizer } from './tokenizer.js';
export { type Verification, type VerifiedFile, type VerifyOptions, type VerifyProgress, verify } from './verify.js';
