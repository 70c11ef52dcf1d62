import { invalidArgument } from '../errors.js';

export type ChatRole = 'system' | 'user' | 'assistant';

/** One message of a conversation. */
export interface ChatMessage {
  readonly role: ChatRole;
  /** Text, or texts in the form of OpenAI's API, which are joined by line breaks. White space around it is dropped. */
  readonly content: string | readonly { readonly type: 'text'; readonly text: string }[];
}

/** A message of a turn, checked. Its content has no white space around it. */
export interface TurnMessage {
  readonly role: 'user' | 'assistant';
  readonly content: string;
}

/** The messages of a conversation, checked and copied. */
export interface CheckedMessages {
  /** undefined: none, or an empty one. */
  readonly system: string | undefined;
  /** A turn is a message of the user and those after it. Messages before the first of the user are a turn, too. */
  readonly turns: readonly (readonly TurnMessage[])[];
}

/**
 * Checks that the messages are one `system` at most, which is the first, and others of which the last is the user's.
 * @throws {GrokError} GROK_INVALID_ARGUMENT
 */
export function checkMessages(messages: unknown): CheckedMessages {
  if (!Array.isArray(messages)) throw invalidArgument('messages', 'an array of messages', messages);
  let system: string | undefined;
  const turns: TurnMessage[][] = [];
  Array.from<unknown>(messages).forEach((message, index) => {
    const name = `messages[${index}]`;
    const { role, content } = checkMessage(name, message);
    if (role === 'system') {
      if (index > 0) throw invalidArgument(`${name}.role`, "'user' or 'assistant' after the first message", role);
      system = content || undefined;
    } else {
      if (role === 'user' || turns.length === 0) turns.push([]);
      turns.at(-1)?.push({ role, content });
    }
  });
  const last = turns.at(-1)?.at(-1);
  if (last === undefined) throw invalidArgument('messages', 'one message of the user at least', messages);
  if (last.role !== 'user') {
    throw invalidArgument(
      `messages[${messages.length - 1}].role`,
      "'user', because the last one is answered",
      last.role,
    );
  }
  return { system, turns };
}

const roles: readonly unknown[] = ['system', 'user', 'assistant'] satisfies ChatRole[];
const fields = ['role', 'content'];

function checkMessage(name: string, message: unknown): { role: ChatRole; content: string } {
  const { role, content, ...others } = fieldsOf(name, 'an object with `role` and `content`', message);
  if (!roles.includes(role)) throw invalidArgument(`${name}.role`, "'system', 'user' or 'assistant'", role);
  refuseOthers(name, fields, others);
  return { role: role as ChatRole, content: textOf(`${name}.content`, content).trim() };
}

function textOf(name: string, content: unknown): string {
  if (typeof content === 'string') return wellFormed(name, content);
  if (!Array.isArray(content)) throw invalidArgument(name, 'a text or an array of texts', content);
  const texts = Array.from<unknown, string>(content, (part, index) => {
    const partName = `${name}[${index}]`;
    const { type, text, ...others } = fieldsOf(partName, 'an object with `type` and `text`', part);
    if (type !== 'text') throw invalidArgument(`${partName}.type`, "'text'", type);
    if (typeof text !== 'string') throw invalidArgument(`${partName}.text`, 'a text', text);
    refuseOthers(partName, ['type', 'text'], others);
    return wellFormed(`${partName}.text`, text);
  });
  return texts.join('\n');
}

function fieldsOf(name: string, expectation: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidArgument(name, expectation, value);
  }
  return value as Record<string, unknown>;
}

/** A field that has no effect would mislead its sender. A field without a value has none. */
function refuseOthers(name: string, known: readonly string[], others: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(others)) {
    if (value === undefined || value === null) continue;
    throw invalidArgument(
      `${name}.${key}`,
      `left out beside ${known.map((field) => `\`${field}\``).join(' and ')}`,
      value,
    );
  }
}

function wellFormed(name: string, text: string): string {
  const lone = /\p{Surrogate}/u.exec(text);
  if (!lone) return text;
  throw invalidArgument(name, 'well-formed Unicode', text.slice(0, 20), `Character ${lone.index} is half of a pair.`);
}
