import { invalidArgument } from '../errors.js';
import { boolean as checkBoolean, mostFloat } from './checks.js';

/** The vocabulary that bounds token ids. */
export interface Vocabulary {
  readonly vocabSize: number;
}

/** Presentation of an option on the command line. An option without `help` has no flag. */
export interface Presentation {
  /** One line; the default is appended. */
  readonly help?: string;
  readonly short?: string;
  /** The word for the value, such as `<tokens>`. Default: the word of its kind. */
  readonly placeholder?: string;
  /** An environment variable that replaces the flag. */
  readonly env?: string;
  /** A former name of the flag. It still works, with a warning. */
  readonly formerFlag?: string;
  /** For an option without a `default`: the value used instead, in words. */
  readonly otherwise?: string;
}

/** How the command line reads a value. A `function` has no flag. */
export type Kind =
  | 'number'
  | 'integer'
  | 'integers'
  | 'bytes'
  | 'choice'
  | 'switch'
  | 'text'
  | 'texts'
  | 'biases'
  | 'function';

/** One option: `Given` is the type for callers, `Checked` that of its checked value. */
export interface Option<Given, Checked = Given, Default extends Checked | undefined = undefined> extends Presentation {
  readonly kind: Kind;
  /** The allowed values, in the words of errors and documents. */
  readonly expectation: string;
  readonly choices?: readonly string[];
  readonly default: Default;
  /** The value without effect. If absent, the default has no effect. */
  readonly neutral?: number;
  /** Returns the checked value, or throws. Never called with `undefined`. */
  check(name: string, value: unknown, vocabulary: Vocabulary): Checked;
  /** Never has a value: it only carries the type. */
  readonly given?: Given;
}

// biome-ignore lint/suspicious/noExplicitAny: an option of any type
export type AnyOption = Option<any, any, any>;
export type Schema = Readonly<Record<string, AnyOption>>;

/** The options of a schema, as callers write them. Keeps the comments of the schema for editors. */
export type OptionsOf<S extends Schema> = {
  -readonly [Name in keyof S]?: NonNullable<S[Name]['given']> | undefined;
};

/** The checked options of a schema: undefined only if there is no default. */
export type ResolvedOf<S extends Schema> = {
  -readonly [Name in keyof S]:
    | ReturnType<S[Name]['check']>
    | (S[Name]['default'] extends undefined ? undefined : never);
};

/** The options of a schema that have a default. */
export type DefaultsOf<S extends Schema> = {
  readonly [Name in keyof S as S[Name]['default'] extends undefined ? never : Name]: S[Name]['default'];
};

type Settings<Default> = Presentation & { readonly default?: Default; readonly neutral?: number };

/** The engine computes in float32: a smaller number becomes 0. */
const leastFloat = 1e-38;
const mostInt32 = 2 ** 31 - 1;

/** A number from `from` to `to`, both included. Without `from`: above 0. */
export function number<const Default extends number | undefined = undefined>(
  settings: Settings<Default> & { from?: number; to?: number },
): Option<number, number, Default> {
  const { from = leastFloat, to = mostFloat, ...rest } = settings;
  const expectation =
    to !== mostFloat
      ? `a number from ${from} to ${to}`
      : from === leastFloat
        ? `a number > 0, from ${from} to ${to}`
        : `a number ≥ ${from}, at most ${to}`;
  return make('number', expectation, rest, (name, value) => {
    if (typeof value === 'number' && value >= from && value <= to) return value;
    throw invalidArgument(name, expectation, value);
  });
}

/** A whole number from `from` (0) to `to` (2^31 - 1). */
export function integer<const Default extends number | undefined = undefined>(
  settings: Settings<Default> & { from?: number; to?: number; kind?: 'integer' | 'bytes' },
): Option<number, number, Default> {
  const { from = 0, to = mostInt32, kind = 'integer', ...rest } = settings;
  return make(kind, `an integer from ${from} to ${to}`, rest, (name, value) => integerIn(name, value, from, to));
}

/** A non-empty array of whole numbers. */
export function integers<const Default extends readonly number[] | undefined = undefined>(
  settings: Settings<Default> & { from: number; to: number },
): Option<readonly number[], readonly number[], Default> {
  const { from, to, ...rest } = settings;
  return make('integers', `an array of integers from ${from} to ${to}`, rest, (name, value) =>
    integersIn(name, value, from, to),
  );
}

function integerIn(name: string, value: unknown, from: number, to: number): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= from && value <= to) return value;
  throw invalidArgument(name, `an integer from ${from} to ${to}`, value);
}

export function integersIn(name: string, values: unknown, from: number, to: number): readonly number[] {
  if (!Array.isArray(values) || values.length === 0) throw invalidArgument(name, 'an array of numbers', values);
  return Array.from(values, (value, index) => integerIn(`${name}[${index}]`, value, from, to));
}

/** One of several words. */
export function choice<const Choices extends readonly string[], const Default extends Choices[number]>(
  choices: Choices,
  settings: Settings<Default>,
): Option<Choices[number], Choices[number], Default> {
  const quoted = choices.map((word) => `'${word}'`);
  const expectation = `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
  const check = (name: string, value: unknown): Choices[number] => {
    if (choices.includes(value as string)) return value as string;
    throw invalidArgument(name, expectation, value);
  };
  return { ...make('choice', expectation, settings, check), choices };
}

export function boolean<const Default extends boolean | undefined = undefined>(
  settings: Settings<Default>,
): Option<boolean, boolean, Default> {
  return make('switch', 'true or false', settings, checkBoolean);
}

/** A non-empty text. */
export function text(expectation: string, settings: Presentation): Option<string> {
  return make('text', expectation, settings, (name, value) => {
    if (typeof value === 'string' && value !== '') return value;
    throw invalidArgument(name, expectation, value);
  });
}

/** A function of the caller's. */
export function callback<Callback extends (...args: never[]) => unknown>(): Option<Callback> {
  return make('function', 'a function', {}, (name, value) => {
    if (typeof value === 'function') return value as unknown as Callback;
    throw invalidArgument(name, 'a function', value);
  });
}

/** An option with its own check. */
export function checked<Given, Checked, const Default extends Checked | undefined = undefined>(
  settings: Settings<Default> & Pick<Option<Given, Checked>, 'kind' | 'expectation' | 'check'>,
): Option<Given, Checked, Default> {
  const { kind, expectation, check, ...rest } = settings;
  return make(kind, expectation, rest, check);
}

function make<Given, Checked, Default extends Checked | undefined>(
  kind: Kind,
  expectation: string,
  settings: Settings<Default>,
  check: Option<Given, Checked>['check'],
): Option<Given, Checked, Default> {
  return { ...settings, default: settings.default as Default, kind, expectation, check };
}

export function defaultsOf<S extends Schema>(schema: S): DefaultsOf<S> {
  const withDefault = Object.entries(schema).filter(([, option]) => option.default !== undefined);
  return Object.fromEntries(withDefault.map(([name, option]) => [name, option.default])) as DefaultsOf<S>;
}

/** The name of an option for OpenAI's and vLLM's clients, and in the addon: `top_p` for `topP`. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
