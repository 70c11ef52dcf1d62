import { GrokError, type GrokErrorCode } from '../../lib/index.js';

type ErrorType = 'invalid_request_error' | 'rate_limit_error' | 'server_error';

interface ErrorKind {
  readonly status: number;
  readonly type: ErrorType;
  /** Seconds after which a client may try again. */
  readonly retryAfter?: number;
}

/** Every `code` of an error answer. docs/SERVER.md lists them; a test compares the lists. */
export const errorKinds = {
  invalid_json: { status: 400, type: 'invalid_request_error' },
  invalid_value: { status: 400, type: 'invalid_request_error' },
  unsupported_parameter: { status: 400, type: 'invalid_request_error' },
  context_length_exceeded: { status: 400, type: 'invalid_request_error' },
  no_tokenizer: { status: 400, type: 'invalid_request_error' },
  bad_request: { status: 400, type: 'invalid_request_error' },
  invalid_api_key: { status: 401, type: 'invalid_request_error' },
  host_not_allowed: { status: 403, type: 'invalid_request_error' },
  origin_not_allowed: { status: 403, type: 'invalid_request_error' },
  not_found: { status: 404, type: 'invalid_request_error' },
  model_not_found: { status: 404, type: 'invalid_request_error' },
  method_not_allowed: { status: 405, type: 'invalid_request_error' },
  slow_client: { status: 408, type: 'invalid_request_error' },
  body_too_large: { status: 413, type: 'invalid_request_error' },
  server_busy: { status: 429, type: 'rate_limit_error', retryAfter: 1 },
  headers_too_large: { status: 431, type: 'invalid_request_error' },
  client_left: { status: 499, type: 'invalid_request_error' },
  internal_error: { status: 500, type: 'server_error' },
  model_loading: { status: 503, type: 'server_error', retryAfter: 5 },
  draining: { status: 503, type: 'server_error', retryAfter: 5 },
  model_failed: { status: 503, type: 'server_error', retryAfter: 30 },
  request_timeout: { status: 504, type: 'server_error' },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;

/** The body of an error answer, in OpenAI's shape. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: ErrorType;
    readonly param: string | null;
    readonly code: ErrorCode;
  };
}

/** An error with an answer for the client. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly code: ErrorCode;
  /** The field of the request that is wrong. */
  readonly param: string | null;

  constructor(code: ErrorCode, message: string, options: { param?: string | null; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.param = options.param ?? null;
    // An answer needs no stack. Its frames would keep the objects of a request alive, as the reason of its signal.
    this.stack = `${this.name}: ${message}`;
  }

  get status(): number {
    return errorKinds[this.code].status;
  }

  get body(): ErrorBody {
    const { type } = errorKinds[this.code];
    return { error: { message: this.message, type, param: this.param, code: this.code } };
  }

  /** Headers beside the content type. */
  get headers(): Record<string, string> {
    const { retryAfter }: ErrorKind = errorKinds[this.code];
    return {
      ...(retryAfter !== undefined && { 'retry-after': `${retryAfter}` }),
      ...(this.code === 'invalid_api_key' && { 'www-authenticate': 'Bearer' }),
      // A second try would run as long. OpenAI's clients obey this header.
      ...(this.code === 'request_timeout' && { 'x-should-retry': 'false' }),
    };
  }
}

export function invalidValue(param: string, expectation: string, found: unknown): HttpError {
  return new HttpError('invalid_value', `Expected \`${param}\` to be ${expectation}, found ${described(found)}`, {
    param,
  });
}

/** A value and its type, short enough for one line. */
function described(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'object') return 'an object';
  const text = JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

const codeOf: Partial<Record<GrokErrorCode, ErrorCode>> = {
  GROK_INVALID_ARGUMENT: 'invalid_value',
  GROK_CONTEXT_OVERFLOW: 'context_length_exceeded',
  GROK_NO_TOKENIZER: 'no_tokenizer',
  GROK_BUSY: 'server_busy',
  GROK_CLOSED: 'draining',
  GROK_CANCELLED: 'draining',
  GROK_READ_TIMEOUT: 'slow_client',
  GROK_DEVICE_FAILED: 'model_failed',
};

/** The answer to any thrown value. It never contains a stack or a path of this machine. */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (!(error instanceof GrokError)) return internalError(error);
  const code = codeOf[error.code];
  if (code === undefined) return internalError(error);
  if (code === 'model_failed') return new HttpError(code, 'The device that runs the model failed.', { cause: error });
  const isFieldError = code === 'invalid_value' || code === 'context_length_exceeded' || code === 'no_tokenizer';
  const name = isFieldError ? (error.details?.name ?? 'prompt') : null;
  return new HttpError(code, onTheWire(error.message), {
    param: typeof name === 'string' ? fieldOf(name) : null,
    cause: error,
  });
}

function internalError(cause: unknown): HttpError {
  return new HttpError('internal_error', 'The server could not finish this request.', { cause });
}

/** The field that an option of the library comes from: `logit_bias` for `logitBias[5]`. */
function fieldOf(option: string): string {
  const name = /^\w+/.exec(option)?.[0] ?? option;
  return name === 'text' ? 'prompt' : snakeCase(name);
}

/** Replaces names of options by names of fields. */
function onTheWire(message: string): string {
  return message.replace(
    /`(\w+)((?:\[\d+\])?)`/g,
    (_, name: string, index: string) => `\`${snakeCase(name)}${index}\``,
  );
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
