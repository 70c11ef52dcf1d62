import type { Abort } from '../abort.js';
import { GrokError } from '../errors.js';
import { emptyPrompt, tokenIds } from '../options/checks.js';
import type { GenerationConfig } from '../options/generation-config.js';
import type { ResolvedGenerateOptions } from '../options/resolve.js';
import type { Tokenizer } from '../text/tokenizer.js';

export type Prompt = string | readonly number[];

/** The limits of a prompt. */
export interface PromptHost {
  readonly tokenizer: Tokenizer | undefined;
  readonly vocabSize: number;
  /** Maximum tokens of a prompt and its continuation together. */
  readonly contextSize: number;
  readonly generation: GenerationConfig;
}

/** Checks a prompt as far as possible before any work: text needs a tokenizer, ids must be in the vocabulary. */
export function checkPrompt(prompt: unknown, host: PromptHost): Prompt {
  if (typeof prompt === 'string') {
    requireTokenizer(host.tokenizer, 'a text prompt');
    return prompt;
  }
  return tokenIds('prompt', prompt, host);
}

/** The ids of a checked prompt. */
export async function encodePrompt(prompt: Prompt, host: PromptHost, signal?: Abort): Promise<readonly number[]> {
  if (typeof prompt !== 'string') return prompt;
  const tokenizer = requireTokenizer(host.tokenizer, 'a text prompt');
  const fewestTokens = Math.ceil(prompt.length / tokenizer.longestPiece);
  if (fewestTokens > host.contextSize) throw overflow(`at least ${fewestTokens}`, undefined, host.contextSize);
  const ids = await tokenizer.encodeAsync(prompt, { signal: signal?.signal });
  if (ids.length === 0) throw emptyPrompt('prompt');
  return tokenIds('prompt', ids, host);
}

/** The ids of a checked prompt, and the number of tokens to generate after it. */
export async function fitPrompt(
  prompt: Prompt,
  host: PromptHost,
  { maxTokens, signal }: Pick<ResolvedGenerateOptions, 'maxTokens' | 'signal'>,
): Promise<{ ids: readonly number[]; maxTokens: number }> {
  const ids = await encodePrompt(prompt, host, signal);
  const wanted = { maxTokens, otherwise: host.generation.maxTokens };
  return { ids, maxTokens: roomFor(ids.length, wanted, host.contextSize) };
}

/** Tokens to generate: the requested number, or the default as far as the context has room. */
export function roomFor(
  promptTokens: number,
  wanted: { maxTokens: number | undefined; otherwise: number },
  contextSize: number,
): number {
  const room = contextSize - promptTokens;
  const maxTokens = wanted.maxTokens ?? Math.min(wanted.otherwise, Math.max(1, room));
  if (maxTokens > room) throw overflow(`${promptTokens}`, maxTokens, contextSize);
  return maxTokens;
}

export function requireTokenizer(tokenizer: Tokenizer | undefined, what: string): Tokenizer {
  if (tokenizer) return tokenizer;
  throw new GrokError(`Expected a tokenizer for ${what}, found none beside the checkpoint`, {
    code: 'GROK_NO_TOKENIZER',
    hint: 'Put tokenizer.model beside the checkpoint or pass its path as `tokenizer`. Token ids work without one: pass `prompt` as an array.',
  });
}

function overflow(promptTokens: string, maxTokens: number | undefined, contextSize: number): GrokError {
  const requested =
    maxTokens === undefined ? `${promptTokens} tokens` : `${promptTokens} tokens and ${maxTokens} to generate`;
  return new GrokError(`Expected a prompt and its continuation of at most ${contextSize} tokens, found ${requested}`, {
    code: 'GROK_CONTEXT_OVERFLOW',
    hint: `Shorten the prompt${maxTokens ? ', lower `maxTokens`' : ''} or set a larger \`contextSize\` where the model allows one.`,
    details: { promptTokens, maxTokens, contextSize },
  });
}
