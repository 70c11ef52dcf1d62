import type { NativeToken } from '../addon/types.js';
import type { Chunk, TokenLogprob } from '../engine/completion.js';
import { StopText } from './stop-text.js';
import type { IncrementalDecoder, Tokenizer } from './tokenizer.js';

/** Turns tokens into chunks: a token waits for the next when its text is not complete, or may belong to a stop text. */
export class ChunkBuilder {
  readonly #tokenizer: Tokenizer | undefined;
  readonly #decoder: IncrementalDecoder | undefined;
  readonly #stopText: StopText;
  readonly #withLogprobs: boolean;
  #waitingIds: number[] = [];
  #waitingLogprobs: TokenLogprob[] = [];
  #stopped = false;

  constructor(tokenizer: Tokenizer | undefined, options: { stop: readonly string[]; withLogprobs: boolean }) {
    this.#tokenizer = tokenizer;
    this.#decoder = tokenizer?.decoder();
    this.#stopText = new StopText(options.stop);
    this.#withLogprobs = options.withLogprobs;
  }

  /** Reads the prompt, which the text goes on from: its text, and not the space that a text of its own would lose. */
  readPrompt(ids: readonly number[]): string {
    return ids.map((id) => this.#textOf(id)).join('');
  }

  /** The chunk that is complete with this token, if one is, and the stop text that ends the generation with it. */
  push(token: NativeToken): { chunk?: Chunk; found?: string } {
    this.#waitingIds.push(token.token);
    if (this.#withLogprobs) this.#waitingLogprobs.push(toLogprob(token, this.#tokenizer));
    const { text, found } = this.#stopText.push(this.#textOf(token.token));
    if (found !== undefined) {
      this.#stopped = true;
      return { chunk: this.#take(text), found };
    }
    if (text === '' && this.#tokenizer !== undefined) return {};
    return { chunk: this.#take(text) };
  }

  /** What waited, when no token follows. */
  finish(): { chunk?: Chunk; found?: string } {
    if (this.#stopped) return {};
    this.#stopped = true;
    const { text, found } = this.#stopText.push(this.#decoder?.flush() ?? '');
    const rest = found === undefined ? text + this.#stopText.flush() : text;
    const outcome = found === undefined ? {} : { found };
    if (rest === '' && this.#waitingIds.length === 0) return outcome;
    return { chunk: this.#take(rest), ...outcome };
  }

  #take(text: string): Chunk {
    const tokenIds = this.#waitingIds;
    const logprobs = this.#waitingLogprobs;
    this.#waitingIds = [];
    this.#waitingLogprobs = [];
    return this.#withLogprobs ? { text, tokenIds, logprobs } : { text, tokenIds };
  }

  /** A model may have more ids than its tokenizer, as padding. They have no text. */
  #textOf(id: number): string {
    if (!this.#tokenizer || !this.#decoder || id >= this.#tokenizer.vocabSize) return '';
    return this.#decoder.push(id);
  }
}

export function toLogprob(token: NativeToken, tokenizer: Tokenizer | undefined): TokenLogprob {
  const textOf = (id: number) => (tokenizer && id < tokenizer.vocabSize ? tokenizer.piece(id) : '');
  return {
    id: token.token,
    text: textOf(token.token),
    logprob: token.logprob,
    top: Array.from(token.topTokens, (id, rank) => ({ id, text: textOf(id), logprob: token.topLogprobs[rank] ?? 0 })),
  };
}

/** The first token of a prompt, which nothing comes before. */
export function unscored(id: number, tokenizer: Tokenizer | undefined): TokenLogprob {
  return { id, text: tokenizer && id < tokenizer.vocabSize ? tokenizer.piece(id) : '', logprob: null, top: [] };
}
