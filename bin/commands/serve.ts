import { readFile } from 'node:fs/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import {
  type ChatTemplateName,
  GrokError,
  type LoadOptions,
  type LoadProgress,
  optionSchema,
} from '../../lib/index.js';
import { UsageError } from '../failure.js';
import type { Host } from '../host.js';
import {
  addModelOptions,
  addOutputOptions,
  flagsOf,
  type ModelFlags,
  modelOf,
  type OutputFlags,
  optionsOf,
} from '../options.js';
import { parseBytes, parseDuration } from '../units.js';

interface ServeFlags extends ModelFlags, OutputFlags, Pick<LoadOptions, 'maxQueue' | 'prefixCache'> {
  readonly host: string;
  readonly port: number;
  readonly apiKeyFile?: string;
  /** false with --no-api-key. */
  readonly apiKey: boolean;
  readonly allowedHost?: readonly string[];
  readonly corsOrigin?: readonly string[];
  readonly modelName?: string;
  readonly chatTemplate?: ChatTemplateName;
  readonly metricsHost: string;
  readonly metricsPort?: number;
  readonly logPrompts?: boolean;
  readonly drain: number;
  readonly requestTimeout: number;
  readonly writeTimeout: number;
  readonly maxConnections: number;
  readonly maxBody: number;
}

const HELP = `
Clients use the base URL http://HOST:PORT/v1. It listens while the model loads:
/ready then answers 503 with the progress. SIGTERM or Ctrl+C finishes the
accepted requests and exits; a second one exits at once. The log is JSON, one
object a line on stderr, without prompts.

Examples:
  $ grok-run serve
  $ grok-run serve -m ./checkpoints --host 0.0.0.0 --api-key-file keys.txt`;

const EXIT_INTERRUPTED = 130;

export function makeServeCommand(host: Host): Command {
  const command = new Command('serve')
    .summary("an HTTP server for OpenAI's clients")
    .description('Serves one model over HTTP: completions, chats, tokens, health and metrics.')
    .optionsGroup('Network:')
    .addOption(new Option('--host <name>', 'address to listen on').default('127.0.0.1').env('GROK_RUN_HOST'))
    .addOption(option('--port <n>', 'port to listen on', 8000, whole).env('GROK_RUN_PORT'))
    .addOption(
      new Option('--api-key-file <path>', 'accept only clients with a key of this file, one a line').env(
        'GROK_RUN_API_KEY_FILE',
      ),
    )
    .option('--no-api-key', 'let everybody who reaches the address use the model')
    .addOption(
      new Option('--allowed-host <name>', 'a further name in the Host header; may be given again').argParser(collect),
    )
    .addOption(new Option('--cors-origin <origin>', 'web pages that may call; may be given again').argParser(collect))
    .option('--model-name <name>', "the model's name for clients (default: the name of its directory)")
    .addOption(
      new Option('--chat-template <name>', 'form in which the model reads a chat').choices(
        optionSchema.chat.template.choices ?? [],
      ),
    )
    .addOption(option('--metrics-port <n>', 'serve /metrics here, too, without a key', undefined, whole))
    .option('--metrics-host <name>', 'address of --metrics-port', '127.0.0.1')
    .option('--log-prompts', 'prompts and answers in the log')
    .optionsGroup('Limits:')
    .addOption(option('--max-sequences <n>', 'texts generated at once', undefined, whole))
    .option('--no-prefix-cache', 'compute each prompt whole, so that no client can tell what others sent')
    .addOption(option('--max-queue <n>', 'requests that wait; one more gets 429', 256, whole))
    .addOption(option('--max-connections <n>', 'open connections', 1024, whole))
    .addOption(option('--max-body <size>', 'size of a request', 4 * 2 ** 20, size, '4MiB'))
    .addOption(option('--request-timeout <time>', 'time to answer a request', 600_000, duration, '10m'))
    .addOption(option('--write-timeout <time>', 'time that a client may take to read a part', 30_000, duration, '30s'))
    .addOption(option('--drain <time>', 'time to finish requests at the end', 30_000, duration, '30s'));
  addModelOptions(command);
  addOutputOptions(command);
  return command.addHelpText('after', HELP).action(async () => {
    await serve(host, flagsOf<ServeFlags>(command));
  });
}

function option(
  flag: string,
  help: string,
  value: number | undefined,
  parse: (text: string) => number,
  inWords?: string,
): Option {
  const made = new Option(flag, help).argParser(parse);
  return value === undefined ? made : made.default(value, inWords);
}

function whole(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(text);
}

function size(text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined) throw new InvalidArgumentError('Expected a size such as 4MiB.');
  return bytes;
}

function duration(text: string): number {
  const milliseconds = parseDuration(text);
  if (milliseconds === undefined) throw new InvalidArgumentError('Expected a time such as 30s, 2m or 500ms.');
  return milliseconds;
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

async function serve(host: Host, flags: ServeFlags): Promise<void> {
  if (flags.apiKeyFile !== undefined && !flags.apiKey) {
    throw new UsageError('Expected --api-key-file or --no-api-key, found both', 'leave one out');
  }
  const server = await import('../../server/index.js');
  const apiKeys = flags.apiKeyFile === undefined ? [] : await readKeys(flags.apiKeyFile, server.parseApiKeys);
  const write = (entry: object) => {
    if (!flags.quiet || (entry as { level?: string }).level !== 'info') host.stderr.write(`${JSON.stringify(entry)}\n`);
  };
  const say = (event: string, details: object = {}) =>
    write({ time: new Date().toISOString(), level: 'info', event, ...details });

  const loading = new AbortController();
  let progress: LoadProgress | undefined;
  const loaded = host.library.Grok.load(modelOf(flags), {
    ...(optionsOf(optionSchema.load, flags) as LoadOptions),
    signal: loading.signal,
    onProgress: (latest) => {
      progress = latest;
    },
  });
  loaded.catch(() => {}); // reported below
  const http = server.createServer(loaded, {
    apiKeys,
    noApiKey: !flags.apiKey,
    modelName: flags.modelName,
    chatTemplate: flags.chatTemplate,
    allowedHosts: flags.allowedHost,
    corsOrigins: flags.corsOrigin,
    logPrompts: flags.logPrompts,
    logger: write,
    progress: () => progress,
    drainTimeout: flags.drain,
    requestTimeout: flags.requestTimeout,
    writeTimeout: flags.writeTimeout,
    maxConnections: flags.maxConnections,
    maxBodyBytes: flags.maxBody,
  });
  const signals = new StopSignals();
  try {
    const { address, family, port } = await listening(() => http.listen(flags.port, flags.host), flags.port);
    say('listening', { url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}` });
    const { metricsPort } = flags;
    if (metricsPort !== undefined) {
      await listening(() => http.listenForMetrics(metricsPort, flags.metricsHost), metricsPort);
    }
    const grok = await Promise.race([loaded, signals.first]);
    if (typeof grok === 'string') return;
    say('ready', { model: flags.modelName, device: grok.info.device, context_size: grok.info.contextSize });
    say('draining', { signal: await signals.first });
    await http.close();
    await grok.close();
    say('stopped');
  } finally {
    signals.stop();
    loading.abort();
    await http.closeNow();
  }
}

async function readKeys(path: string, parse: (text: string) => string[]): Promise<string[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(`Expected a readable file of keys at ${path}: ${(error as Error).message}`, 'check the path');
  }
  const keys = parse(text);
  if (keys.length === 0) throw new UsageError(`Expected a key in ${path}, found none`, 'write one key a line');
  return keys;
}

async function listening<Address>(listen: () => Promise<Address>, port: number): Promise<Address> {
  try {
    return await listen();
  } catch (error) {
    if (error instanceof GrokError) {
      throw new UsageError(error.message, 'pass --api-key-file, or --no-api-key if everybody there may use the model');
    }
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE' && code !== 'EACCES' && code !== 'EADDRNOTAVAIL' && code !== 'ENOTFOUND') throw error;
    throw new UsageError(
      `Expected to listen on port ${port}: ${(error as Error).message}`,
      'choose another --port or --host',
    );
  }
}

/** The signals that end a server. After the first, a second one exits at once. */
class StopSignals {
  readonly first: Promise<NodeJS.Signals>;
  readonly #listener: (signal: NodeJS.Signals) => void;

  constructor() {
    let isFirst = true;
    let resolve!: (signal: NodeJS.Signals) => void;
    this.first = new Promise((resolveFirst) => {
      resolve = resolveFirst;
    });
    this.#listener = (signal) => {
      if (!isFirst) process.exit(EXIT_INTERRUPTED);
      isFirst = false;
      resolve(signal);
    };
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, this.#listener);
  }

  stop(): void {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.off(signal, this.#listener);
  }
}
