import type { IncrementalDecoder, Tokenizer, TokenLogprob } from '../../lib/index.js';

/** The log-probabilities of a completion: parallel arrays. */
export interface CompletionLogprobs {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  readonly text_offset: number[];
}

interface ChatToken {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: number[];
}

export interface ChatTokenLogprob extends ChatToken {
  readonly top_logprobs: ChatToken[];
}

/** The byte of a token that is one byte of a character. */
function byteOf(text: string): number | undefined {
  const digits = /^<0x([0-9A-F]{2})>$/.exec(text)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

/** The name of a token: its text, or `bytes:\xNN` for a byte that is no character by itself. */
function nameOf({ id, text }: { id: number; text: string }, asIds: boolean): string {
  if (asIds || text === '') return `token_id:${id}`;
  const byte = byteOf(text);
  if (byte === undefined) return text;
  return byte < 0x80 ? String.fromCharCode(byte) : `bytes:\\x${byte.toString(16).padStart(2, '0')}`;
}

/** Turns the tokens of one choice into the arrays of a completion, part by part. */
export class CompletionLogprobsWriter {
  readonly #decoder: IncrementalDecoder | undefined;
  readonly #vocabSize: number;
  readonly #asIds: boolean;
  #offset = 0;

  /** `promptIds` are the tokens before the text; they have no entry. */
  constructor(tokenizer: Tokenizer | undefined, promptIds: readonly number[], asIds: boolean) {
    this.#decoder = tokenizer?.decoder();
    this.#vocabSize = tokenizer?.vocabSize ?? 0;
    this.#asIds = asIds;
    for (const id of promptIds) this.#push(id); // the space before the first token belongs to the prompt
    this.#offset = 0;
  }

  write(tokens: readonly TokenLogprob[]): CompletionLogprobs {
    const written: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
    for (const token of tokens) {
      written.tokens.push(nameOf(token, this.#asIds));
      written.token_logprobs.push(token.logprob);
      written.top_logprobs.push(this.#topOf(token));
      written.text_offset.push(this.#offset);
      this.#push(token.id);
    }
    return written;
  }

  #push(id: number): void {
    if (id < this.#vocabSize) this.#offset += this.#decoder?.push(id).length ?? 0;
  }

  /** The chosen token is always there, with the number of `token_logprobs`: clients compare the two. */
  #topOf(token: TokenLogprob): Record<string, number> | null {
    if (token.logprob === null) return null;
    const top = new Map<string, number>();
    const add = (entry: { id: number; text: string }, logprob: number) => {
      const name = nameOf(entry, this.#asIds);
      top.set(top.has(name) ? `token_id:${entry.id}` : name, logprob); // two ids may have one text
    };
    add(token, token.logprob);
    for (const entry of token.top) if (entry.id !== token.id) add(entry, entry.logprob);
    return Object.fromEntries([...top].sort(([, left], [, right]) => right - left));
  }
}

export function chatLogprobs(tokens: readonly TokenLogprob[], asIds: boolean): ChatTokenLogprob[] {
  const entryOf = (entry: { id: number; text: string; logprob: number | null }): ChatToken => ({
    token: nameOf(entry, asIds),
    logprob: entry.logprob ?? 0,
    bytes: bytesOf(entry.text),
  });
  return tokens.map((token) => ({ ...entryOf(token), top_logprobs: token.top.map(entryOf) }));
}

function bytesOf(text: string): number[] {
  const byte = byteOf(text);
  return byte === undefined ? [...Buffer.from(text)] : [byte];
}
