import type { NativeRequest } from '../addon/types.js';
import type { ResolvedGenerateOptions } from '../options/resolve.js';
import { neutralSampling, type Sampling, samplingOptions } from '../options/schema.js';

const samplingNames = Object.keys(samplingOptions) as (keyof Sampling)[];

/**
 * A request to continue a prompt that is not encoded yet. Smaller than the options, because each waiting request holds
 * one.
 */
export function generationRequest(
  eosIds: readonly number[],
  options: ResolvedGenerateOptions,
): Omit<NativeRequest, 'prompt' | 'maxTokens'> {
  return {
    ...(Object.fromEntries(samplingNames.map((name) => [name, options[name]])) as Sampling),
    promptOutputs: options.echo && options.logprobs !== undefined ? 'logprobs' : 'none',
    seed: options.seed,
    numLogprobs: options.logprobs ?? 0,
    biasTokens: Int32Array.from(options.logitBias.keys()),
    biasValues: Float32Array.from(options.logitBias.values()),
    stopTokens: Int32Array.from([...(options.ignoreEos ? [] : eosIds), ...options.stopTokenIds]),
  };
}

/** A request to score a prompt and generate nothing. */
export function scoringRequest(
  prompt: readonly number[],
  promptOutputs: 'logprobs' | 'logits',
  numLogprobs = 0,
): NativeRequest {
  return { ...greedyRequest(prompt, 0), promptOutputs, numLogprobs };
}

/** A request for exactly `maxTokens` greedy tokens. */
export function greedyRequest(prompt: ArrayLike<number>, maxTokens: number): NativeRequest {
  return {
    ...neutralSampling,
    prompt: Int32Array.from(prompt),
    maxTokens,
    promptOutputs: 'none',
    seed: 0,
    numLogprobs: 0,
    biasTokens: new Int32Array(),
    biasValues: new Float32Array(),
    stopTokens: new Int32Array(),
  };
}
