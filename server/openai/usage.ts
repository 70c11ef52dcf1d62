import type { Completion } from '../../lib/index.js';

export interface WireUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** Tokens of a request with `n` choices a prompt. A prompt counts once. */
export function usageOf(completions: readonly Completion[], n: number): WireUsage {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const prompt_tokens = sum(completions.filter((_, index) => index % n === 0).map(({ usage }) => usage.promptTokens));
  const completion_tokens = sum(completions.map(({ usage }) => usage.completionTokens));
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}
