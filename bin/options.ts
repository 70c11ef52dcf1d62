import { type Command, InvalidArgumentError, Option } from 'commander';
import type { GenerateOptions, KvCacheType, LoadOptions, WeightStorage } from '../lib/index.js';
import { UsageError } from './failure.js';
import type { Library } from './host.js';
import { parseBytes } from './units.js';

// The parsers say whether a value is written as it should be; what it may be is the library's to say.

function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || Number.isNaN(value)) throw new InvalidArgumentError('Expected a number.');
  return value;
}

export function parseWhole(text: string): number {
  const value = parseNumber(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('Expected a whole number.');
  return value;
}

export function parseSize(text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined) throw new InvalidArgumentError('Expected a size such as 70GiB, 512M or a number of bytes.');
  return bytes;
}

/** `1,2` */
export function parseWholes(text: string): readonly number[] {
  return text.split(',').map(parseWhole);
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

function collectBias(text: string, before: Readonly<Record<number, number>> = {}): Readonly<Record<number, number>> {
  const match = /^(\d+)=(.+)$/.exec(text);
  if (!match) throw new InvalidArgumentError('Expected <token id>=<number>, such as 42=-5.');
  return { ...before, [Number(match[1])]: parseNumber(match[2] ?? '') };
}

export interface ModelFlags {
  readonly model?: string;
  readonly tokenizer?: string;
  readonly device?: 'auto' | 'cuda' | 'cpu';
  readonly contextSize?: number;
  readonly threads?: number;
  readonly prefillChunk?: number;
  readonly kvCacheType?: KvCacheType;
  readonly weights?: WeightStorage;
  readonly maxRam?: number;
}

export interface SamplingFlags {
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repeatPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly stopTokenIds?: readonly number[];
  readonly logitBias?: Readonly<Record<number, number>>;
  readonly ignoreEos?: boolean;
  readonly echo?: boolean;
  readonly logprobs?: number;
}

export interface OutputFlags {
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly progress?: boolean;
  readonly color?: boolean;
}

/** Which checkpoint, and so which tokenizer. */
export function addCheckpointOptions(command: Command): Command {
  return command
    .optionsGroup('Model:')
    .addOption(modelOption())
    .addOption(
      new Option('--tokenizer <file>', 'tokenizer.model (default: beside the checkpoint)').env('GROK_RUN_TOKENIZER'),
    );
}

export function modelOption(): Option {
  return new Option('-m, --model <path>', 'checkpoint directory or file (default: the embedded toy)').env(
    'GROK_RUN_MODEL',
  );
}

/** Memory against exactness, for whatever loads a model. */
export function kvCacheTypeOption(): Option {
  return new Option('--kv-cache-type <name>', 'how keys and values are held (default: f32)').choices([
    'f32',
    'bf16',
    'int8',
  ]);
}

/** Memory and loading time against speed, for whatever loads a model. */
export function weightsOption(): Option {
  return new Option('--weights <how>', 'copied into memory or left in the files (default: packed)').choices([
    'packed',
    'mapped',
  ]);
}

/** Which checkpoint, and the machine it runs on. */
export function addModelOptions(command: Command): Command {
  return addCheckpointOptions(command)
    .addOption(
      new Option('-d, --device <name>', 'where to run (default: auto)')
        .choices(['auto', 'cuda', 'cpu'])
        .env('GROK_RUN_DEVICE'),
    )
    .addOption(
      new Option('-c, --context-size <tokens>', "prompt and continuation together (default: the model's)").argParser(
        parseWhole,
      ),
    )
    .addOption(
      new Option('--threads <n>', 'CPU threads (default: as many as there are)')
        .argParser(parseWhole)
        .env('GROK_RUN_THREADS'),
    )
    .addOption(
      new Option('--prefill-chunk <tokens>', 'prompt tokens that one step takes (default: 512)').argParser(parseWhole),
    )
    .addOption(kvCacheTypeOption())
    .addOption(weightsOption())
    .addOption(
      new Option('--max-ram <size>', 'refuse to use more, such as 70GiB (default: what is free)').argParser(parseSize),
    );
}

/** How the next token is chosen, and when to stop. */
export function addSamplingOptions(command: Command, { generate }: Library['defaults']): Command {
  return command
    .optionsGroup('Generation:')
    .option('-n, --max-tokens <n>', `tokens to generate at most (default: ${generate.maxTokens})`, parseWhole)
    .option('-t, --temperature <x>', `0 always takes the likeliest (default: ${generate.temperature})`, parseNumber)
    .option('--top-k <n>', `choose among the n likeliest; 0 is off (default: ${generate.topK})`, parseWhole)
    .option('--top-p <x>', `choose among the likeliest that make up x (default: ${generate.topP})`, parseNumber)
    .option('--min-p <x>', `drop what is x times less likely than the best (default: ${generate.minP})`, parseNumber)
    .option('--repeat-penalty <x>', `1 is off (default: ${generate.repetitionPenalty})`, parseNumber)
    .option('--presence-penalty <x>', `0 is off (default: ${generate.presencePenalty})`, parseNumber)
    .option('--frequency-penalty <x>', `0 is off (default: ${generate.frequencyPenalty})`, parseNumber)
    .option('--seed <n>', 'same seed, same text (default: random; --verbose shows it)', parseWhole)
    .option('--stop <text>', 'stop before this text; may be given again', collect)
    .option('--stop-token-ids <id,...>', 'stop at any of these tokens, too', parseWholes)
    .option('--logit-bias <id=x>', 'add x to the logit of a token; may be given again', collectBias)
    .option('--ignore-eos', 'go on after the model says it is done')
    .option(
      '--logprobs <n>',
      'log-probabilities of the token and the n likeliest; needs --json or --jsonl',
      parseWhole,
    );
}

/** What goes to stderr. */
export function addOutputOptions(command: Command): Command {
  return command
    .optionsGroup('Messages:')
    .option('-q, --quiet', 'nothing on stderr but errors')
    .option('-v, --verbose', 'timings and seed; the stack of an error')
    .option('--no-progress', 'no bar while weights load')
    .option('--no-color', 'no colours (also: NO_COLOR)');
}

type Given<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> };

/** Only what was given: the library fills in the rest. */
export function given<T extends object>(values: T): Given<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Given<T>;
}

/** An empty variable is an unset one. */
export function modelOf(flags: ModelFlags): string | undefined {
  return flags.model || undefined;
}

/** The checkpoint of a command that takes it as an argument or by --model. */
export function pathOrModelOf(command: Command, path: string | undefined): string | undefined {
  if (path !== undefined && command.getOptionValueSource('model') === 'cli') {
    throw new UsageError('Expected a path or --model, found both', 'leave one out');
  }
  return path ?? modelOf(flagsOf<ModelFlags>(command));
}

export function loadOptionsOf(flags: ModelFlags): LoadOptions {
  return given({
    tokenizer: flags.tokenizer || undefined,
    device: flags.device,
    contextSize: flags.contextSize,
    threads: flags.threads,
    prefillChunk: flags.prefillChunk,
    kvCacheType: flags.kvCacheType,
    weights: flags.weights,
    memoryLimit: flags.maxRam,
    // One command, one text: memory for more is not needed.
    maxSequences: 1,
  });
}

export function generateOptionsOf(flags: SamplingFlags): GenerateOptions {
  return given({
    maxTokens: flags.maxTokens,
    temperature: flags.temperature,
    topK: flags.topK,
    topP: flags.topP,
    minP: flags.minP,
    repetitionPenalty: flags.repeatPenalty,
    presencePenalty: flags.presencePenalty,
    frequencyPenalty: flags.frequencyPenalty,
    seed: flags.seed,
    stop: flags.stop,
    stopTokenIds: flags.stopTokenIds,
    logitBias: flags.logitBias,
    ignoreEos: flags.ignoreEos,
    echo: flags.echo,
    logprobs: flags.logprobs,
  });
}

/**
 * The flags of a command, with those that were written before its name: `grok-run -m DIR inspect` means
 * `grok-run inspect -m DIR`.
 */
export function flagsOf<Flags>(command: Command): Flags {
  const flags: Record<string, unknown> = command.opts();
  const parent = command.parent;
  for (const [name, value] of Object.entries(parent?.opts() ?? {})) {
    if (parent?.getOptionValueSource(name) !== 'cli') continue;
    if (!command.options.some((option) => option.attributeName() === name)) {
      const flag = parent.options.find((option) => option.attributeName() === name)?.long;
      throw new UsageError(`${flag} means nothing to ${command.name()}`, `see grok-run ${command.name()} --help`);
    }
    if (command.getOptionValueSource(name) !== 'cli') flags[name] = value;
  }
  return flags as Flags;
}
