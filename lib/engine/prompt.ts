import type { Abort } from '../abort.js';
import { Conversation } from '../chat/conversation.js';
import { contextOverflow, GrokError } from '../errors.js';
import { emptyPrompt, tokenIds } from '../options/checks.js';
import type { GenerationConfig } from '../options/generation-config.js';
import type { ResolvedGenerateOptions } from '../options/resolve.js';
import type { Tokenizer } from '../text/tokenizer.js';

export type Prompt = string | readonly number[] | Conversation;

/** The limits of a prompt. */
export interface PromptHost {
  readonly tokenizer: Tokenizer | undefined;
  readonly vocabSize: number;
  /** Maximum tokens of a prompt and its continuation together. */
  readonly contextSize: number;
  readonly generation: GenerationConfig;
}

/** Checks a prompt as far as possible before any work: text needs a tokenizer, ids must be in the vocabulary. */
export function checkPrompt(prompt: unknown, host: PromptHost): string | readonly number[] {
  if (typeof prompt === 'string') {
    requireTokenizer(host.tokenizer, 'a text prompt');
    return prompt;
  }
  return tokenIds('prompt', prompt, host);
}

/** The ids of a checked prompt. */
export async function encodePrompt(
  prompt: string | readonly number[],
  host: PromptHost,
  signal?: Abort,
): Promise<readonly number[]> {
  if (typeof prompt !== 'string') return prompt;
  const tokenizer = requireTokenizer(host.tokenizer, 'a text prompt');
  const fewestTokens = Math.ceil(prompt.length / tokenizer.longestPiece);
  if (fewestTokens > host.contextSize) throw contextOverflow(`at least ${fewestTokens}`, undefined, host.contextSize);
  const ids = await tokenizer.encodeAsync(prompt, { signal: signal?.signal });
  if (ids.length === 0) throw emptyPrompt('prompt');
  return tokenIds('prompt', ids, host);
}

/** The ids of a checked prompt, and the number of tokens to generate after it. */
export async function fitPrompt(
  prompt: Prompt,
  host: PromptHost,
  options: Pick<ResolvedGenerateOptions, 'maxTokens' | 'signal'>,
): Promise<{ ids: readonly number[]; maxTokens: number }> {
  if (prompt instanceof Conversation) return await fitConversation(prompt, host, options);
  const ids = await encodePrompt(prompt, host, options.signal);
  const wanted = { maxTokens: options.maxTokens, otherwise: host.generation.maxTokens };
  return { ids, maxTokens: roomFor(ids.length, wanted, host.contextSize) };
}

/** Without `maxTokens`, turns that leave no room for the default or a quarter of the context are left out, too. */
export async function fitConversation(
  conversation: Conversation,
  { contextSize, generation }: PromptHost,
  { maxTokens, signal }: Pick<ResolvedGenerateOptions, 'maxTokens' | 'signal'>,
): Promise<{ text: string; ids: readonly number[]; maxTokens: number }> {
  const otherwise = generation.maxTokens;
  const answerTokens = maxTokens ?? Math.min(otherwise, Math.floor(contextSize / 4));
  const prompt = await conversation.encode({ mostTokens: contextSize - answerTokens, contextSize }, signal);
  return { ...prompt, maxTokens: roomFor(prompt.ids.length, { maxTokens, otherwise }, contextSize) };
}

/** Tokens to generate: the requested number, or the default as far as the context has room. */
export function roomFor(
  promptTokens: number,
  wanted: { maxTokens: number | undefined; otherwise: number },
  contextSize: number,
): number {
  const room = contextSize - promptTokens;
  const maxTokens = wanted.maxTokens ?? Math.min(wanted.otherwise, Math.max(1, room));
  if (maxTokens > room) throw contextOverflow(`${promptTokens}`, maxTokens, contextSize);
  return maxTokens;
}

export function requireTokenizer(tokenizer: Tokenizer | undefined, what: string): Tokenizer {
  if (tokenizer) return tokenizer;
  throw new GrokError(`Expected a tokenizer for ${what}, found none beside the checkpoint`, {
    code: 'GROK_NO_TOKENIZER',
    hint: 'Put tokenizer.model beside the checkpoint or pass its path as `tokenizer`. Token ids work without one: pass `prompt` as an array.',
  });
}
