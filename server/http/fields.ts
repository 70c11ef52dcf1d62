import { HttpError, invalidValue } from './http-error.js';
import type { Body } from './request-body.js';

/** The value of a field. null counts as absent, as OpenAI's servers read it. */
export function fieldOf(body: Body, name: string): unknown {
  return Object.hasOwn(body, name) ? (body[name] ?? undefined) : undefined;
}

export function integerField(body: Body, name: string, from: number, to: number): number | undefined {
  const value = fieldOf(body, name);
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= from && value <= to) return value;
  throw invalidValue(name, `an integer from ${from} to ${to}`, value);
}

export function switchField(body: Body, name: string): boolean {
  const value = fieldOf(body, name);
  if (value === undefined) return false;
  if (typeof value === 'boolean') return value;
  throw invalidValue(name, 'true or false', value);
}

export function objectField(body: Body, name: string): Body | undefined {
  const value = fieldOf(body, name);
  if (value === undefined) return undefined;
  if (typeof value === 'object' && !Array.isArray(value)) return value as Body;
  throw invalidValue(name, 'an object', value);
}

/** Refuses a field whose feature this server lacks. */
export function refuseUnsupported(body: Body, unsupported: Unsupported): void {
  for (const [name, isNeutral] of Object.entries(unsupported)) {
    const value = fieldOf(body, name);
    if (value === undefined || isNeutral(value)) continue;
    throw new HttpError('unsupported_parameter', `This server does not support \`${name}\` with this value.`, {
      param: name,
    });
  }
}

/** For each field that this server lacks: whether a value leaves the feature unused. */
export type Unsupported = Readonly<Record<string, (value: unknown) => boolean>>;

export const never = (): boolean => false;
export const isFalse = (value: unknown): boolean => value === false;
export const isZero = (value: unknown): boolean => value === 0;
export const isOne = (value: unknown): boolean => value === 1;
export const isEmpty = (value: unknown): boolean => value === '' || (Array.isArray(value) && value.length === 0);
export const isOneOf =
  (...words: readonly unknown[]) =>
  (value: unknown): boolean =>
    words.includes(value);
