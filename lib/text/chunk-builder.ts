import type { NativeToken } from '../addon/types.js';
import type { Chunk, TokenLogprob } from '../engine/completion.js';
import { StopText } from './stop-text.js';
import type { IncrementalDecoder, Tokenizer } from './tokenizer.js';

/** Turns tokens into chunks. A token waits for the next if its text is incomplete, or may belong to a stop text. */
export class ChunkBuilder {
  readonly #tokenizer: Tokenizer | undefined;
  readonly #decoder: IncrementalDecoder | undefined;
  readonly #stopText: StopText;
  readonly #withLogprobs: boolean;
  #waitingIds: number[] = [];
  #waitingLogprobs: TokenLogprob[] = [];
  #stopped = false;
  #trimsStart: boolean;

  /** `trimStart`: the text begins without white space. */
  constructor(
    tokenizer: Tokenizer | undefined,
    options: { stop: readonly string[]; withLogprobs: boolean; trimStart?: boolean },
  ) {
    this.#tokenizer = tokenizer;
    this.#decoder = tokenizer?.decoder();
    this.#stopText = new StopText(options.stop);
    this.#withLogprobs = options.withLogprobs;
    this.#trimsStart = options.trimStart ?? false;
  }

  /** Reads the prompt, which the generated text continues. Returns the prompt's text, and keeps the space after it. */
  readPrompt(ids: readonly number[]): string {
    return ids.map((id) => this.#textOf(id)).join('');
  }

  /** Returns the chunk that this token completes, if any, and the stop text that ends the generation with it. */
  push(token: NativeToken): { chunk?: Chunk; found?: string } {
    this.#waitingIds.push(token.token);
    if (this.#withLogprobs) this.#waitingLogprobs.push(toLogprob(token, this.#tokenizer));
    const { text: safe, found } = this.#stopText.push(this.#textOf(token.token));
    const text = this.#trimmed(safe);
    if (found !== undefined) {
      this.#stopped = true;
      return { chunk: this.#take(text), found };
    }
    if (text === '' && this.#tokenizer !== undefined) return {};
    return { chunk: this.#take(text) };
  }

  /** Returns the text held back, after the last token. */
  finish(): { chunk?: Chunk; found?: string } {
    if (this.#stopped) return {};
    this.#stopped = true;
    const { text, found } = this.#stopText.push(this.#decoder?.flush() ?? '');
    const rest = this.#trimmed(found === undefined ? text + this.#stopText.flush() : text);
    const outcome = found === undefined ? {} : { found };
    if (rest === '' && this.#waitingIds.length === 0) return outcome;
    return { chunk: this.#take(rest), ...outcome };
  }

  #trimmed(text: string): string {
    if (!this.#trimsStart) return text;
    const rest = text.trimStart();
    this.#trimsStart = rest === '';
    return rest;
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

/** The first token of a prompt, which has no predecessor. */
export function unscored(id: number, tokenizer: Tokenizer | undefined): TokenLogprob {
  return { id, text: tokenizer && id < tokenizer.vocabSize ? tokenizer.piece(id) : '', logprob: null, top: [] };
}
