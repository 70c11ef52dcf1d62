import type { TextPlace } from '../text/sentencepiece/piece-places.js';

/** A token and its log-probability: natural logarithm, of the model's own distribution before sampling options. */
export interface TokenLogprob {
  readonly id: number;
  /** The text of the token alone; `<0x0A>` for a byte, '' without a tokenizer. */
  readonly text: string;
  /** null for the first token of a prompt, which has no predecessor. */
  readonly logprob: number | null;
  /** The likeliest tokens at its position, best first; as many as requested. */
  readonly top: readonly { readonly id: number; readonly text: string; readonly logprob: number }[];
}

/** A scored token and its position `text.slice(start, end)`. All bytes of one character have the same position. */
export interface ScoredToken extends TokenLogprob, TextPlace {}

/** Part of a generation's text, and its tokens. */
export interface Chunk {
  /** Whole characters, without any part of a stop text. '' without a tokenizer. */
  readonly text: string;
  readonly tokenIds: readonly number[];
  /** One for each of `tokenIds`, if requested. */
  readonly logprobs?: readonly TokenLogprob[];
}

export interface Usage {
  readonly promptTokens: number;
  /** Generated tokens, without the [EOS] that ended them. */
  readonly completionTokens: number;
  readonly totalTokens: number;
}

export interface Timings {
  /** Milliseconds, like all of these, from the start until the first step that read the prompt. */
  readonly queueMs: number;
  /** From there until the prompt was read, which gives the first token. */
  readonly prefillMs: number;
  /** From the start until the first token. */
  readonly firstTokenMs: number;
  /** From the first token to the last. */
  readonly decodeMs: number;
  /** Tokens after the first, per second of `decodeMs`; 0 if there are none. */
  readonly tokensPerSecond: number;
}

/** A finished generation: the joined contents of its chunks, and how it ended. */
export interface Completion {
  readonly text: string;
  readonly tokenIds: readonly number[];
  /** `'stop'`: [EOS] or a stop text; `'length'`: maxTokens; `'abort'`: cancelled. */
  readonly finishReason: 'stop' | 'length' | 'abort';
  /** The stop text that ended it. */
  readonly stopSequence?: string;
  readonly usage: Usage;
  readonly timings: Timings;
  /** The seed that was used. */
  readonly seed: number;
  readonly logprobs?: readonly TokenLogprob[];
}
