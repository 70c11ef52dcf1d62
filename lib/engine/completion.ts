import type { TextPlace } from '../text/sentencepiece/piece-places.js';

/** A token and how likely the model held it: natural logarithms, of the model's own distribution before any sampling. */
export interface TokenLogprob {
  readonly id: number;
  /** The token by itself; `<0x0A>` for a byte, '' without a tokenizer. */
  readonly text: string;
  /** null for the first token of a prompt, which nothing comes before. */
  readonly logprob: number | null;
  /** The likeliest tokens in its place, best first; as many as asked for. */
  readonly top: readonly { readonly id: number; readonly text: string; readonly logprob: number }[];
}

/** A scored token, with its place `text.slice(start, end)`. The bytes of one character share its place. */
export interface ScoredToken extends TokenLogprob, TextPlace {}

/** Some text of a generation, and the tokens that brought it. */
export interface Chunk {
  /** Whole characters, nothing of a stop text. '' without a tokenizer. */
  readonly text: string;
  readonly tokenIds: readonly number[];
  /** One for each of `tokenIds`, when asked for. */
  readonly logprobs?: readonly TokenLogprob[];
}

export interface Usage {
  readonly promptTokens: number;
  /** Generated tokens; the [EOS] that ended them is not one. */
  readonly completionTokens: number;
  readonly totalTokens: number;
}

export interface Timings {
  /** From the start until the first step that took the prompt up, in milliseconds as all of these. */
  readonly queueMs: number;
  /** From there until the prompt was read, which brings the first token. */
  readonly prefillMs: number;
  /** From the start until the first token. */
  readonly firstTokenMs: number;
  /** From the first token to the last. */
  readonly decodeMs: number;
  /** Tokens after the first, for each second of `decodeMs`; 0 when there are none. */
  readonly tokensPerSecond: number;
}

/** A finished generation: what its chunks had, joined, and how it went. */
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
