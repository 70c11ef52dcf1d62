import { type Command, InvalidArgumentError, Option } from 'commander';
import { type InspectOptions, type OptionKind, optionSchema, type SchemaOption } from '../lib/index.js';
import { UsageError } from './failure.js';
import { parseBytes } from './units.js';
import { flagOf } from './vocabulary.js';

// The parsers check only how a value is written; the library checks the value.

function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || Number.isNaN(value)) throw new InvalidArgumentError('Expected a number.');
  return value;
}

function parseWhole(text: string): number {
  const value = parseNumber(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('Expected a whole number.');
  return value;
}

function parseSize(text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined) throw new InvalidArgumentError('Expected a size such as 70GiB, 512M or a number of bytes.');
  return bytes;
}

/** Parses `1,2`. */
function parseWholes(text: string): readonly number[] {
  return text.split(',').map(parseWhole);
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

function collectBias(text: string, before: Readonly<Record<number, number>> = {}): Readonly<Record<number, number>> {
  const match = /^(\d+)=(.+)$/.exec(text);
  if (!match) throw new InvalidArgumentError('Expected <token id>=<number>, such as 42=-5.');
  const id = Number(match[1]);
  if (Object.hasOwn(before, id)) throw new InvalidArgumentError(`Expected each token id once, found ${id} again.`);
  return { ...before, [id]: parseNumber(match[2] ?? '') };
}

type Schema = (typeof optionSchema)[keyof typeof optionSchema];

/** The word for a value, and its parser. */
const values: Readonly<Record<OptionKind, readonly [word: string, parse?: (text: string, before: never) => unknown]>> =
  {
    number: [' <x>', parseNumber],
    integer: [' <n>', parseWhole],
    integers: [' <n,...>', parseWholes],
    bytes: [' <size>', parseSize],
    choice: [' <name>'],
    text: [' <text>'],
    texts: [' <text>', collect],
    biases: [' <id=x>', collectBias],
    switch: [''],
    function: [''],
  };

/** A former name of a flag: absent from the help, and read as the new name. */
class FormerFlag extends Option {
  readonly current: string;

  constructor(flags: string, current: string) {
    super(flags);
    this.current = current;
    this.hideHelp();
  }
}

/** Adds a flag for each option of the schema that has one, or for the named options. */
export function addOptions(command: Command, schema: Schema, names: readonly string[] = Object.keys(schema)): Command {
  for (const [name, option] of Object.entries<SchemaOption>(schema)) {
    const { help, short, formerFlag, env } = option;
    if (help === undefined || !names.includes(name)) continue;
    const word = option.placeholder ? ` ${option.placeholder}` : values[option.kind][0];
    const flag = new Option(`${short ? `${short}, ` : ''}${flagOf[name]}${word}`, help + defaultIn(option));
    command.addOption(reading(env ? flag.env(env) : flag, option));
    if (formerFlag) command.addOption(reading(new FormerFlag(formerFlag + word, flag.attributeName()), option));
  }
  return command;
}

function reading(flag: Option, { kind, choices }: SchemaOption): Option {
  const parse = values[kind][1];
  if (choices) flag.choices(choices);
  else if (parse) flag.argParser(parse as (text: string, before: unknown) => unknown);
  return flag;
}

function defaultIn({ kind, otherwise, ...option }: SchemaOption): string {
  const shown = kind === 'switch' ? undefined : (option.default ?? otherwise);
  return shown === undefined || shown === 'none' ? '' : ` (default: ${shown})`;
}

/** The options of the schema whose flags were given. An empty text, as of a variable, counts as not given. */
export function optionsOf<Options extends object>(schema: Schema, flags: Options): Given<Options> {
  const isGiven = ([name, value]: [string, unknown]) => value !== undefined && value !== '' && name in schema;
  return Object.fromEntries(Object.entries(flags).filter(isGiven)) as Given<Options>;
}

type Given<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> };

export interface ModelFlags extends Readonly<InspectOptions> {
  readonly model?: string;
}

export interface OutputFlags {
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly progress?: boolean;
  readonly color?: boolean;
}

/** Adds the flags of the checkpoint and its tokenizer. */
export function addCheckpointOptions(command: Command): Command {
  return addOptions(command.optionsGroup('Model:').addOption(modelOption()), optionSchema.inspect, ['tokenizer']);
}

export function modelOption(): Option {
  return new Option('-m, --model <path>', 'checkpoint directory or file (default: the embedded toy)').env(
    'GROK_RUN_MODEL',
  );
}

/** Adds the flags of the checkpoint and the machine. */
export function addModelOptions(command: Command): Command {
  return addOptions(command.optionsGroup('Model:').addOption(modelOption()), optionSchema.inspect);
}

/** Adds the flags of sampling and of the end of the text. */
export function addGenerateOptions(command: Command): Command {
  return addOptions(command.optionsGroup('Generation:'), optionSchema.generate);
}

/** Adds the flags of messages on stderr. */
export function addOutputOptions(command: Command): Command {
  return command
    .optionsGroup('Messages:')
    .option('-q, --quiet', 'nothing on stderr but errors')
    .option('-v, --verbose', 'timings and seed; the stack of an error')
    .option('--no-progress', 'no bar while weights load')
    .option('--no-color', 'no colours (also: NO_COLOR)');
}

/** An empty variable counts as unset. */
export function modelOf(flags: ModelFlags): string | undefined {
  return flags.model || undefined;
}

/** The checkpoint of a command that accepts it as an argument or by --model. */
export function pathOrModelOf(command: Command, path: string | undefined): string | undefined {
  if (path !== undefined && command.getOptionValueSource('model') === 'cli') {
    throw new UsageError('Expected a path or --model, found both', 'leave one out');
  }
  return path ?? modelOf(flagsOf<ModelFlags>(command));
}

export function loadOptionsOf(flags: ModelFlags): InspectOptions {
  // One command has one text, so memory for more is not needed.
  return { ...optionsOf(optionSchema.inspect, flags), maxSequences: 1 };
}

/**
 * The flags of a command, including those written before its name: `grok-run -m DIR inspect` means `grok-run inspect -m
 * DIR`.
 */
export function flagsOf<Flags>(command: Command): Flags {
  const flags: Record<string, unknown> = command.opts();
  const parent = command.parent;
  for (const [name, value] of Object.entries(parent?.opts() ?? {})) {
    if (parent?.getOptionValueSource(name) !== 'cli') continue;
    if (!command.options.some((option) => option.attributeName() === name)) {
      const flag = parent.options.find((option) => option.attributeName() === name)?.long;
      throw new UsageError(`${flag} does not apply to ${command.name()}`, `see grok-run ${command.name()} --help`);
    }
    if (command.getOptionValueSource(name) !== 'cli') flags[name] = value;
  }
  for (const option of command.options) {
    const name = option.attributeName();
    if (!(option instanceof FormerFlag) || flags[name] === undefined) continue;
    const current = command.options.find((other) => other.attributeName() === option.current);
    if (!flags.quiet) command.configureOutput().writeErr?.(`grok-run: ${option.long} is now ${current?.long}\n`);
    flags[option.current] ??= flags[name];
    delete flags[name];
  }
  return flags as Flags;
}
