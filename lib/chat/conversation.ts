import type { Abort } from '../abort.js';
import { contextOverflow } from '../errors.js';
import type { TextSegment, Tokenizer } from '../text/tokenizer.js';
import { guardLines } from './line-guard.js';
import { type CheckedMessages, checkMessages, type TurnMessage } from './messages.js';
import type { ChatTemplate } from './templates.js';

/** A conversation, which a template turns into a prompt. */
export class Conversation {
  readonly #messages: CheckedMessages;
  readonly #template: ChatTemplate;
  readonly #tokenizer: Tokenizer;

  /** @throws {GrokError} GROK_INVALID_ARGUMENT for an invalid message */
  constructor(messages: unknown, template: ChatTemplate, tokenizer: Tokenizer) {
    this.#messages = checkMessages(messages);
    this.#template = template;
    this.#tokenizer = tokenizer;
  }

  /**
   * The prompt, without the oldest turns if it would exceed `mostTokens`. The preamble and the last message always stay.
   * @throws {GrokError} GROK_CONTEXT_OVERFLOW if these two cannot fit the context
   */
  async encode(
    { mostTokens, contextSize }: { mostTokens: number; contextSize: number },
    signal: Abort | undefined,
  ): Promise<{ text: string; ids: number[] }> {
    this.#refuseFarTooLong(contextSize);
    const kept: { segments: readonly TextSegment[]; ids: readonly number[] }[] = [];
    const hasLastMessage = () => kept.length >= 2;
    let numTokens = 0;
    let segments: TextSegment[] = [];
    const template = this.#template;
    const tokenizer = this.#tokenizer;
    const newestFirst = this.#messages.turns.toReversed();
    const preamble = this.#preamble();

    // Lazy, so that turns older than the first without room are not even encoded.
    function* groups(): Generator<readonly TextSegment[]> {
      segments = preamble;
      yield segments;
      for (const turn of newestFirst) {
        const length = turn.reduce((sum, { content }) => sum + content.length, 0);
        if (hasLastMessage() && numTokens + fewestTokens(length, tokenizer) > mostTokens) return;
        segments = turn.flatMap((message) => segmentsOf(message, template));
        if (!hasLastMessage()) segments.push(control(template.headers.assistant));
        yield segments;
      }
    }
    for await (const ids of tokenizer.encodeSegments(groups(), signal)) {
      numTokens += ids.length;
      if (numTokens > mostTokens && hasLastMessage()) break;
      kept.splice(1, 0, { segments, ids }); // an older turn comes right after the preamble
    }
    return { text: kept.map((part) => textOf(part.segments)).join(''), ids: kept.flatMap(({ ids }) => ids) };
  }

  #preamble(): TextSegment[] {
    const { systemHeader, system, headerLine } = this.#template;
    const given = this.#messages.system;
    const examples = examplesOf(this.#template);
    if (given === undefined) return [control(systemHeader + system + examples)];
    return [control(systemHeader), content(given, headerLine), control(examples)].filter(({ text }) => text !== '');
  }

  /** Spares the work of encoding a text that is much longer than the context. */
  #refuseFarTooLong(contextSize: number): void {
    const last = this.#messages.turns.at(-1)?.at(-1);
    const length = (this.#messages.system?.length ?? 0) + (last?.content.length ?? 0);
    const fewest = fewestTokens(length, this.#tokenizer);
    if (fewest > contextSize) throw contextOverflow(`at least ${fewest}`, undefined, contextSize);
  }
}

function textOf(segments: readonly TextSegment[]): string {
  return segments.map(({ text }) => text).join('');
}

function fewestTokens(length: number, tokenizer: Tokenizer): number {
  return Math.ceil(length / tokenizer.longestPiece);
}

function examplesOf({ examples, headers, gap }: ChatTemplate): string {
  return examples.map(({ role, content }) => headers[role] + gap + content).join('');
}

function segmentsOf(message: TurnMessage, { headers, gap, headerLine }: ChatTemplate): TextSegment[] {
  const header = control(headers[message.role]);
  return message.content === '' ? [header] : [header, content(gap + message.content, headerLine)];
}

/** Text of a template, which may name control tokens. */
function control(text: string): TextSegment {
  return { text, allowControl: true };
}

/** Text of a message, in which nothing has a meaning for the template. */
function content(text: string, headerLine: RegExp | undefined): TextSegment {
  return { text: headerLine ? guardLines(text, headerLine) : text, allowControl: false };
}
