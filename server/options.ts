import { type ChatTemplateName, GrokError, type LoadProgress, optionSchema } from '../lib/index.js';
import type { LogEntry } from './http/log.js';

/** A limit of the server: its default and range, and its meaning in a few words. */
interface Limit {
  readonly default: number;
  readonly from: number;
  readonly to: number;
  readonly help: string;
}

const longestTime = 2 ** 31 - 1; // of a timer

/**
 * Everything that a client could otherwise use without bound. The flags of `grok-run serve` and the table in
 * docs/SERVER.md have the same names. Times are milliseconds.
 */
export const limits = {
  maxBodyBytes: { default: 4 * 2 ** 20, from: 1024, to: 2 ** 30, help: 'bytes of a request body' },
  maxHeaderBytes: { default: 16 * 1024, from: 1024, to: 2 ** 20, help: 'bytes of the headers of a request' },
  maxPrompts: { default: 64, from: 1, to: 1024, help: 'prompts of a request' },
  maxN: { default: 8, from: 1, to: 128, help: 'choices for each prompt' },
  maxChoices: { default: 64, from: 1, to: 4096, help: 'choices of a request, for all its prompts' },
  maxStops: { default: 16, from: 1, to: 128, help: 'stop texts of a request' },
  maxStopBytes: { default: 256, from: 1, to: 1024, help: 'bytes of a stop text' },
  maxLogprobs: { default: 2 ** 22, from: 1, to: 2 ** 24, help: 'log-probabilities in one answer' },
  maxMessages: { default: 4096, from: 1, to: 2 ** 20, help: 'messages of a chat' },
  maxConnections: { default: 1024, from: 1, to: 2 ** 20, help: 'open connections; more are closed at once' },
  requestTimeout: { default: 600_000, from: 1, to: longestTime, help: 'time to answer a request' },
  bodyTimeout: { default: 60_000, from: 1, to: longestTime, help: 'time to receive a request' },
  writeTimeout: { default: 30_000, from: 1, to: longestTime, help: 'time that a client may take to read a part' },
  keepAliveTimeout: { default: 75_000, from: 1, to: longestTime, help: 'time to keep an idle connection' },
  drainTimeout: { default: 30_000, from: 0, to: longestTime, help: 'time to finish requests at the end' },
} as const satisfies Record<string, Limit>;

export type LimitName = keyof typeof limits;
export type Limits = { readonly [Name in LimitName]: number };

export interface ServerOptions extends Partial<Limits> {
  /** Name of the model for clients. Default: that of the checkpoint's directory; `grok-tiny` for the embedded model. */
  readonly modelName?: string | undefined;
  /** Form in which the model reads a chat. Default: that of the library. */
  readonly chatTemplate?: ChatTemplateName | undefined;
  /** Keys of clients, sent as `Authorization: Bearer KEY`. Default: none, so that no key is needed. */
  readonly apiKeys?: readonly string[] | undefined;
  /** Lets {@link GrokServer.listen} serve other machines without an API key. Default: false. */
  readonly noApiKey?: boolean | undefined;
  /**
   * Names that the Host header may have, beside `localhost` and IP addresses. `'*'` allows all. Default: none; all with
   * API keys, and for a handler inside another service.
   */
  readonly allowedHosts?: readonly string[] | '*' | undefined;
  /** Origins of web pages that may call, such as `https://example.com`; `*` is any. Default: none. */
  readonly corsOrigins?: readonly string[] | undefined;
  /** Serves `/metrics`. Default: true. */
  readonly metrics?: boolean | undefined;
  /** Receives one entry for each request and event. Default: none are made. */
  readonly logger?: ((entry: LogEntry) => void) | undefined;
  /** Adds prompts and answers to the entries of the log. Default: false. */
  readonly logPrompts?: boolean | undefined;
  /** Progress of a model that is still loading, for `/ready`. */
  readonly progress?: (() => LoadProgress | undefined) | undefined;
}

/** {@link ServerOptions}, checked and complete. */
export interface ResolvedServerOptions extends Limits {
  readonly modelName: string | undefined;
  readonly chatTemplate: ChatTemplateName | undefined;
  readonly apiKeys: readonly string[];
  readonly noApiKey: boolean;
  readonly allowedHosts: readonly string[] | '*' | undefined;
  readonly corsOrigins: readonly string[];
  readonly metrics: boolean;
  readonly logger: ((entry: LogEntry) => void) | undefined;
  readonly logPrompts: boolean;
  readonly progress: (() => LoadProgress | undefined) | undefined;
}

const isText = (value: unknown) => typeof value === 'string' && value !== '';
const isSwitch = (value: unknown) => typeof value === 'boolean';
const isFunction = (value: unknown) => typeof value === 'function';
const areTexts = (value: unknown) => Array.isArray(value) && value.every(isText);

const templates: readonly unknown[] = optionSchema.chat.template.choices ?? [];

/** How each option that is not a limit is checked. */
const checks: Readonly<Record<Exclude<keyof ServerOptions, LimitName>, [(value: unknown) => boolean, string]>> = {
  modelName: [isText, 'a text that is not empty'],
  chatTemplate: [(value) => templates.includes(value), `one of ${templates.join(', ')}`],
  apiKeys: [areTexts, 'an array of texts that are not empty'],
  noApiKey: [isSwitch, 'true or false'],
  allowedHosts: [(value) => value === '*' || areTexts(value), "an array of names, or '*'"],
  corsOrigins: [areTexts, 'an array of origins'],
  metrics: [isSwitch, 'true or false'],
  logger: [isFunction, 'a function'],
  logPrompts: [isSwitch, 'true or false'],
  progress: [isFunction, 'a function'],
};

/** @throws {GrokError} GROK_INVALID_ARGUMENT */
export function resolveServerOptions(options: ServerOptions = {}): ResolvedServerOptions {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (Object.hasOwn(limits, name)) checkLimit(name as LimitName, value);
    else if (Object.hasOwn(checks, name)) {
      const [isValid, expectation] = checks[name as keyof typeof checks];
      if (!isValid(value)) throw invalid(name, expectation, value);
    } else {
      throw new GrokError(`Unknown option \`${name}\``, {
        code: 'GROK_INVALID_ARGUMENT',
        hint: `The options are ${[...Object.keys(limits), ...Object.keys(checks)].join(', ')}.`,
        details: { name },
      });
    }
  }
  const { modelName, chatTemplate, allowedHosts, logger, progress } = options;
  return {
    ...(Object.fromEntries(
      Object.entries(limits).map(([name, limit]) => [name, options[name as LimitName] ?? limit.default]),
    ) as Limits),
    ...{ modelName, chatTemplate, allowedHosts, logger, progress },
    apiKeys: options.apiKeys ?? [],
    noApiKey: options.noApiKey ?? false,
    corsOrigins: options.corsOrigins ?? [],
    metrics: options.metrics ?? true,
    logPrompts: options.logPrompts ?? false,
  };
}

function checkLimit(name: LimitName, value: unknown): void {
  const { from, to } = limits[name];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= from && value <= to) return;
  throw invalid(name, `an integer from ${from} to ${to}`, value);
}

function invalid(name: string, expectation: string, found: unknown): GrokError {
  return new GrokError(
    `Expected \`${name}\` to be ${expectation}, found ${typeof found} ${String(found).slice(0, 40)}`,
    {
      code: 'GROK_INVALID_ARGUMENT',
      details: { name },
    },
  );
}
