import type { Chunk, Completion } from '../../lib/index.js';
import type { Call } from '../http/call.js';
import { eventOf } from '../http/event-stream.js';
import { fieldOf } from '../http/fields.js';
import type { Body } from '../http/request-body.js';
import { messagesOf } from '../openai/chat-messages.js';
import { type ChatRequest, chatFields, chatRequestOf, unsupportedChatFields } from '../openai/chat-request.js';
import { type ChoicePart, partsOf } from '../openai/choices.js';
import { numUnknownFields } from '../openai/completion-request.js';
import { chatLogprobs } from '../openai/logprobs.js';
import { seedOf } from '../openai/sampling.js';
import { usageOf } from '../openai/usage.js';
import type { Service } from '../service.js';
import { answerStream, finishAll, headOf, noteFinished } from './answers.js';

/** POST /v1/chat/completions */
export async function chat(body: Body, call: Call, service: Service): Promise<Response> {
  const { model, options: limits, metrics, log } = service;
  const { grok } = model;
  model.checkName(fieldOf(body, 'model'));
  const request = chatRequestOf(body, limits);
  metrics.ignoredFields(numUnknownFields(body, chatFields, unsupportedChatFields));
  if (limits.logPrompts) call.details.messages = request.messages;
  if (grok.info.chat.note !== undefined && model.firstChat()) log.add('warn', 'chat', { message: grok.info.chat.note });

  const template = limits.chatTemplate ?? grok.info.chat.default;
  const options = { ...request.options, template, signal: call.signal };
  const { seed } = options;
  const generations = Array.from({ length: request.n }, (_, choice) =>
    grok.chat(request.messages, seed === undefined ? options : { ...options, seed: seedOf(seed, choice) }),
  );
  const wire = new ChatWire(service, call, request);
  if (request.stream) return await answerStream(wire.events(partsOf(generations)), call, service);
  return Response.json(wire.whole(await finishAll(generations, call, service)));
}

/** POST /apply-template: the prompt that a chat would run. */
export async function applyTemplate(body: Body, call: Call, { model, options: limits }: Service): Promise<Response> {
  const { grok } = model;
  model.checkName(fieldOf(body, 'model'));
  const messages = messagesOf(body, limits);
  const template = limits.chatTemplate ?? grok.info.chat.default;
  const { text, tokenIds, stop } = await grok.chatPrompt(messages, { template, signal: call.signal });
  return Response.json({ prompt: text, tokens: tokenIds, count: tokenIds.length, stop, template });
}

/** Writes the answers of one chat in OpenAI's form. */
class ChatWire {
  readonly #request: ChatRequest;
  readonly #service: Service;
  readonly #call: Call;

  constructor(service: Service, call: Call, request: ChatRequest) {
    this.#service = service;
    this.#call = call;
    this.#request = request;
  }

  whole(completions: readonly Completion[]): object {
    const choices = completions.map((completion, index) => ({
      index,
      message: { role: 'assistant', content: completion.text, refusal: null },
      logprobs: this.#logprobs(completion),
      finish_reason: completion.finishReason,
    }));
    const head = headOf('chatcmpl', 'chat.completion', this.#call, this.#service);
    return { ...head, choices, usage: usageOf(completions, this.#request.n) };
  }

  async *events(parts: AsyncIterable<ChoicePart>): AsyncGenerator<string, void> {
    const head = headOf('chatcmpl', 'chat.completion.chunk', this.#call, this.#service);
    const { includeUsage, n } = this.#request;
    const event = (index: number, delta: object, logprobs: object | null, finish_reason: string | null) =>
      eventOf({ ...head, choices: [{ index, delta, logprobs, finish_reason }], ...(includeUsage && { usage: null }) });
    const completions: Completion[] = [];
    const begun = new Set<number>();
    for await (const part of parts) {
      const { index } = part;
      if (!begun.has(index)) yield event(index, { role: 'assistant', content: '' }, null, null);
      begun.add(index);
      if ('chunk' in part) {
        const { text } = part.chunk;
        if (text !== '' || part.chunk.logprobs) yield event(index, { content: text }, this.#logprobs(part.chunk), null);
      } else {
        completions[index] = part.completion;
        yield event(index, {}, null, part.completion.finishReason);
      }
    }
    noteFinished(this.#call, completions, this.#service);
    if (includeUsage) yield eventOf({ ...head, choices: [], usage: usageOf(completions, n) });
    yield eventOf('[DONE]');
  }

  #logprobs({ logprobs }: Pick<Chunk, 'logprobs'>): object | null {
    return logprobs ? { content: chatLogprobs(logprobs, this.#request.tokensAsIds), refusal: null } : null;
  }
}
