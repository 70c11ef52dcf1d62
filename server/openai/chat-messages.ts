import type { ChatMessage } from '../../lib/index.js';
import { fieldOf, isEmpty } from '../http/fields.js';
import { HttpError, invalidValue } from '../http/http-error.js';
import type { Body } from '../http/request-body.js';
import type { Limits } from '../options.js';

interface TextMessage {
  readonly role: ChatMessage['role'];
  readonly content: string;
}

/** The messages in the library's form: texts, and one system message at most at the beginning. */
export function messagesOf(body: Body, { maxMessages }: Pick<Limits, 'maxMessages'>): readonly TextMessage[] {
  const value = fieldOf(body, 'messages');
  if (!Array.isArray(value) || value.length === 0) throw invalidValue('messages', 'an array of messages', value);
  if (value.length > maxMessages) throw invalidValue('messages', `at most ${maxMessages} messages`, value);
  const messages = value.map(messageOf);
  const firstOther = messages.findIndex(({ role }) => role !== 'system');
  const system = messages.slice(0, firstOther < 0 ? messages.length : firstOther);
  if (system.length < 2) return messages;
  const content = system.map((message) => message.content).join('\n\n');
  return [{ role: 'system', content }, ...messages.slice(system.length)];
}

const roles: Readonly<Record<string, ChatMessage['role']>> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  assistant: 'assistant',
};

function messageOf(value: unknown, index: number): TextMessage {
  const name = `messages[${index}]`;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidValue(name, 'an object with `role` and `content`', value);
  }
  const message = value as Body;
  const given = fieldOf(message, 'role');
  const role = typeof given === 'string' && Object.hasOwn(roles, given) ? roles[given] : undefined;
  if (role === undefined) throw unsupportedOr(`${name}.role`, given, ['tool', 'function']);
  for (const field of ['tool_calls', 'function_call', 'audio']) {
    if (!isEmpty(fieldOf(message, field) ?? [])) throw unsupported(`${name}.${field}`);
  }
  const content = fieldOf(message, 'content');
  if (content === undefined && role === 'assistant') return { role, content: '' };
  return { role, content: typeof content === 'string' ? content : partsOf(`${name}.content`, content) };
}

/** Joins parts of type `text`. */
function partsOf(name: string, value: unknown): string {
  if (!Array.isArray(value)) throw invalidValue(name, 'a text or an array of parts', value);
  const texts = value.map((part: unknown, index) => {
    const { type, text } = Object(part) as { type?: unknown; text?: unknown };
    if (type === 'text' && typeof text === 'string') return text;
    if (type === 'text') throw invalidValue(`${name}[${index}].text`, 'a text', text);
    throw unsupportedOr(`${name}[${index}].type`, type, ['image_url', 'input_audio', 'file', 'refusal']);
  });
  return texts.join('\n');
}

function unsupportedOr(param: string, found: unknown, known: readonly string[]): HttpError {
  if (known.includes(found as string)) return unsupported(param, `'${found}'`);
  return invalidValue(param, 'one that this server knows', found);
}

function unsupported(param: string, found = 'a value'): HttpError {
  return new HttpError('unsupported_parameter', `This server does not support \`${param}\` with ${found}.`, { param });
}
