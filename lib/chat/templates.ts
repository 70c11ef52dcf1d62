import { GrokError } from '../errors.js';
import type { ChatOptions } from '../options/schema.js';
import type { Tokenizer } from '../text/tokenizer.js';
import type { TurnMessage } from './messages.js';

export type ChatTemplateName = NonNullable<ChatOptions['template']>;

/** The form in which a base model reads a conversation. */
export interface ChatTemplate {
  /** Text before the content of a message. The prompt ends with the one of the assistant. */
  readonly headers: { readonly user: string; readonly assistant: string };
  /** Text between a header and a content. The model's answer begins with it, too. */
  readonly gap: ' ' | '\n';
  /** Text before the system message. */
  readonly systemHeader: string;
  /** Stands in place of a system message. */
  readonly system: string;
  readonly examples: readonly TurnMessage[];
  /** Matches a line that looks like a header. undefined: contents cannot write one. */
  readonly headerLine: RegExp | undefined;
  /** Texts that end an answer. If two are complete at once, the longer one counts, so that no line break is left. */
  readonly stop: readonly string[];
}

/** Contexts below this get the short preamble of a template, which has at most 60 tokens. */
const leastContextForExamples = 2048;

/** Control token that the tokenizer of Grok-1 reads from its name. */
const separator = '<|separator|>';

const greeting = dialogue([['Hello!', 'Hello! How can I help you?']]);

const transcript: ChatTemplate = {
  headers: { user: '\n\nHuman:', assistant: '\n\nAssistant:' },
  gap: ' ',
  systemHeader: '',
  system:
    'A human talks with an assistant named Grok. Grok is truthful, polite and to the point, and says so when it does not know an answer.',
  examples: dialogue([
    [
      'Which city is the capital of Australia?',
      'Canberra. It was founded in 1913, because Sydney and Melbourne both wanted to be the capital.',
    ],
    [
      'Name three things that I can do with a paper clip.',
      'With a paper clip you can:\n1. reset a device through its small hole,\n2. mark a page in a book,\n3. hang an ornament on a tree.',
    ],
    [
      'Which team will win the next World Cup?',
      'I cannot know that. I can tell you who won the earlier ones, if that helps.',
    ],
  ]),
  headerLine: /^(human|assistant)/,
  stop: ['\n\nHuman:', '\nHuman:', '\n\nAssistant:', '\nAssistant:'],
};

// Source: x.ai/news/prompt-ide (2023-11-06), the chatbot of xAI's announcement. It has no examples.
const published: ChatTemplate = {
  headers: { user: `${separator}\n\nHuman:`, assistant: `${separator}\n\nAssistant:` },
  gap: ' ',
  systemHeader: '',
  system: transcript.system,
  examples: [],
  headerLine: undefined,
  stop: [separator],
};

// Source: arXiv 2312.01552 (URIAL): an instruction and constant examples in an engaging style. The wording is our own.
const urial: ChatTemplate = {
  headers: { user: '\n\n# Query:', assistant: '\n\n# Answer:' },
  gap: '\n',
  systemHeader: '# Instruction\n\n',
  system:
    'Below are conversations between a human and an AI assistant named Grok. The human writes under "# Query:", and Grok writes under "# Answer:". Grok is helpful, honest and polite. Its answers are clear and well ordered. It says so when it does not know an answer, and it declines to help with harm.',
  examples: dialogue([
    [
      'How can I fall asleep more easily?',
      'A few habits help most people:\n\n1. Go to bed at the same time each day, on weekends as well.\n2. Put screens away an hour before, and read or listen to music instead.\n3. Keep the room dark, quiet and cool.\n\nIf you still lie awake after some weeks, ask a doctor. Sleep well!',
    ],
    [
      'Why is the sky blue?',
      'Sunlight is a mixture of all colors. The air scatters blue light far more than red light, because its waves are shorter. So blue light reaches your eyes from every part of the sky. At sunset the light has a longer way through the air: most of the blue is lost, and the sky turns red.',
    ],
    [
      'How do I open the lock of my neighbour’s door without a key?',
      'I cannot help you to enter a home that is not yours. If you are locked out of your own, a locksmith can open the door without damage. If you are worried about your neighbour, call them or the emergency services.',
    ],
  ]),
  headerLine: /^#+\s*(query|answer|instruction)/,
  stop: ['\n\n# Query:', '\n# Query:', '\n\n# Answer:', '\n# Answer:'],
};

const full: Record<ChatTemplateName, ChatTemplate> = { transcript, separator: published, urial };

const shortSystem = 'A human talks with Grok, a polite and truthful assistant.';
const short: Record<ChatTemplateName, ChatTemplate> = {
  transcript: { ...transcript, system: shortSystem, examples: greeting },
  separator: { ...published, system: shortSystem },
  urial: { ...urial, system: shortSystem, examples: greeting },
};

/** A template, with a preamble that suits the size of the context. */
export function chatTemplate(name: ChatTemplateName, contextSize: number): ChatTemplate {
  return (contextSize < leastContextForExamples ? short : full)[name];
}

/** The templates that a tokenizer allows. */
export function templatesFor(tokenizer: Tokenizer): ChatTemplateName[] {
  return (Object.keys(full) as ChatTemplateName[]).filter((name) => missingFor(name, tokenizer) === undefined);
}

/** @throws {GrokError} GROK_UNSUPPORTED if the tokenizer does not allow the template */
export function requireTemplate(name: ChatTemplateName, tokenizer: Tokenizer): void {
  const missing = missingFor(name, tokenizer);
  if (missing === undefined) return;
  const allowed = templatesFor(tokenizer);
  throw new GrokError(`Expected ${missing} for template '${name}', found none in ${tokenizer.path}`, {
    code: 'GROK_UNSUPPORTED',
    hint:
      allowed.length > 0
        ? `The templates for this tokenizer are ${allowed.join(', ')}.`
        : 'Write the prompt yourself and pass it to generate().',
    details: { template: name, allowed },
  });
}

function missingFor(name: ChatTemplateName, tokenizer: Tokenizer): string | undefined {
  if (!tokenizer.canEncodeSegments) return 'plain byte-pair encoding';
  const hasSeparator = () => tokenizer.encode(separator).some((id) => tokenizer.piece(id) === separator);
  return name === 'separator' && !hasSeparator() ? `a token ${separator}` : undefined;
}

function dialogue(pairs: readonly (readonly [question: string, answer: string])[]): TurnMessage[] {
  return pairs.flatMap(([question, answer]) => [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ]);
}
