/**
 * Every code that a {@link GrokError} can have. The addon's own (native/core/error.h) come first; a test compares the
 * lists.
 */
export const grokErrorCodes = [
  'GROK_INVALID_ARGUMENT',
  'GROK_NOT_FOUND',
  'GROK_IO',
  'GROK_BAD_CHECKPOINT',
  'GROK_UNSUPPORTED',
  'GROK_OUT_OF_MEMORY',
  'GROK_CONTEXT_OVERFLOW',
  'GROK_CLOSED',
  'GROK_CANCELLED',
  'GROK_CUDA_UNAVAILABLE',
  'GROK_DEVICE_FAILED',
  'GROK_INTERNAL',
  'GROK_NOT_FINITE',
  'GROK_NO_BINARY',
  'GROK_NO_TOKENIZER',
  'GROK_BAD_TOKENIZER',
  'GROK_ALREADY_READ',
  'GROK_BUSY',
  'GROK_READ_TIMEOUT',
] as const;

export type GrokErrorCode = (typeof grokErrorCodes)[number];

export interface GrokErrorOptions {
  code: GrokErrorCode;
  hint?: string | undefined;
  details?: Readonly<Record<string, unknown>> | undefined;
  cause?: unknown;
}

/** Every error of the library, except for an abort, which rejects with the signal's own reason. */
export class GrokError extends Error {
  override readonly name = 'GrokError';
  /** The kind of error, for programs. */
  readonly code: GrokErrorCode;
  /** The fix, for people. */
  declare readonly hint?: string;
  /** Figures of the message. */
  declare readonly details?: Readonly<Record<string, unknown>>;

  /** A program may hold this class twice, by `import` and by `require`. */
  static override [Symbol.hasInstance](value: unknown): value is GrokError {
    return value instanceof Error && value.name === 'GrokError';
  }

  constructor(message: string, options: GrokErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code;
    if (options.hint) this.hint = options.hint;
    if (options.details) this.details = options.details;
  }
}

/** `Expected \`temperature\` to be a number ≥ 0, found -1 (number)`: the phrase for every invalid argument. */
export function invalidArgument(name: string, expectation: string, found: unknown, hint?: string): GrokError {
  return new GrokError(`Expected \`${name}\` to be ${expectation}, found ${describeValue(found)}`, {
    code: 'GROK_INVALID_ARGUMENT',
    hint,
    details: { name },
  });
}

/** A value and its type, short enough for one line. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'string') {
    const shown = value.length > 40 ? `${value.slice(0, 40)}…` : value;
    return `${JSON.stringify(shown)} (string)`;
  }
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'object') return `an object (${value.constructor?.name ?? 'no prototype'})`;
  if (typeof value === 'function') return 'a function';
  return `${String(value)} (${typeof value})`;
}

/** Prefixes an error's message with the name of an item. */
export function ofItem(name: string, error: unknown): unknown {
  if (!(error instanceof GrokError)) return error;
  const { code, hint, details } = error;
  return new GrokError(`${name}: ${error.message}`, { code, hint, details, cause: error });
}

export function closedError(): GrokError {
  return new GrokError('The model was closed', {
    code: 'GROK_CLOSED',
    hint: 'Load it again with Grok.load(), or close it only after the last generation has ended.',
  });
}

export function alreadyRead(): GrokError {
  return new GrokError('Expected one reader of a generation, found a second', {
    code: 'GROK_ALREADY_READ',
    hint: 'Read it with one `for await`, and take the whole text from `result`.',
  });
}

/** The prompt, or the prompt and `maxTokens`, exceed the context. */
export function contextOverflow(promptTokens: string, maxTokens: number | undefined, contextSize: number): GrokError {
  const requested =
    maxTokens === undefined ? `${promptTokens} tokens` : `${promptTokens} tokens and ${maxTokens} to generate`;
  return new GrokError(`Expected a prompt and its continuation of at most ${contextSize} tokens, found ${requested}`, {
    code: 'GROK_CONTEXT_OVERFLOW',
    hint: `Shorten the prompt${maxTokens ? ', lower `maxTokens`' : ''} or set a larger \`contextSize\` where the model allows one.`,
    details: { promptTokens, maxTokens, contextSize },
  });
}

/** The arithmetic overflowed in one sequence; other sequences go on. */
export function notFiniteError(position: number): GrokError {
  return new GrokError(`Expected finite logits after token ${position}, found a NaN or infinity among them`, {
    code: 'GROK_NOT_FINITE',
    hint: 'The weights are damaged or too large for float32: compare the files with `grok-run verify`.',
    details: { position },
  });
}
