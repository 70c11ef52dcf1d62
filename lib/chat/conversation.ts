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
    const encodeSegments = this.#tokenizer.segmentEncoder(signal);
    const encode = async (segments: readonly TextSegment[]) => ({
      text: segments.map(({ text }) => text).join(''),
      ids: await encodeSegments(segments),
    });
    const [last = [], ...older] = this.#messages.turns.toReversed();
    const preamble = await encode(this.#preamble());
    const end = await encode([...this.#segmentsOf(last), control(this.#template.headers.assistant)]);

    let room = mostTokens - preamble.ids.length - end.ids.length;
    const kept = [end];
    for (const turn of older) {
      const length = turn.reduce((sum, { content }) => sum + content.length, 0);
      if (fewestTokens(length, this.#tokenizer) > room) break;
      const part = await encode(this.#segmentsOf(turn));
      room -= part.ids.length;
      if (room < 0) break;
      kept.unshift(part);
    }
    kept.unshift(preamble);
    return { text: kept.map(({ text }) => text).join(''), ids: kept.flatMap(({ ids }) => ids) };
  }

  #preamble(): TextSegment[] {
    const { systemHeader, system, examples, headers, gap, headerLine } = this.#template;
    const given = this.#messages.system;
    const dialogue = examples.map(({ role, content }) => headers[role] + gap + content).join('');
    if (given === undefined) return [control(systemHeader + system + dialogue)];
    return [control(systemHeader), content(given, headerLine), control(dialogue)].filter(({ text }) => text !== '');
  }

  #segmentsOf(turn: readonly TurnMessage[]): TextSegment[] {
    const { headers, gap, headerLine } = this.#template;
    return turn.flatMap((message) => {
      const header = control(headers[message.role]);
      return message.content === '' ? [header] : [header, content(gap + message.content, headerLine)];
    });
  }

  /** Spares the work of encoding a text that is much longer than the context. */
  #refuseFarTooLong(contextSize: number): void {
    const last = this.#messages.turns.at(-1)?.at(-1);
    const length = (this.#messages.system?.length ?? 0) + (last?.content.length ?? 0);
    const fewest = fewestTokens(length, this.#tokenizer);
    if (fewest > contextSize) throw contextOverflow(`at least ${fewest}`, undefined, contextSize);
  }
}

function fewestTokens(length: number, tokenizer: Tokenizer): number {
  return Math.ceil(length / tokenizer.longestPiece);
}

/** Text of a template, which may name control tokens. */
function control(text: string): TextSegment {
  return { text, allowControl: true };
}

/** Text of a message, in which nothing has a meaning for the template. */
function content(text: string, headerLine: RegExp | undefined): TextSegment {
  return { text: headerLine ? guardLines(text, headerLine) : text, allowControl: false };
}
