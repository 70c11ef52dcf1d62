import type { Chunk, Completion } from '../../lib/index.js';
import type { Call } from '../http/call.js';
import { eventOf } from '../http/event-stream.js';
import { fieldOf } from '../http/fields.js';
import { HttpError } from '../http/http-error.js';
import type { Body } from '../http/request-body.js';
import { type ChoicePart, generationsOf, partsOf, promptIdsOf } from '../openai/choices.js';
import {
  type CompletionRequest,
  completionFields,
  completionRequestOf,
  numUnknownFields,
  unsupportedCompletionFields,
} from '../openai/completion-request.js';
import { CompletionLogprobsWriter } from '../openai/logprobs.js';
import { usageOf } from '../openai/usage.js';
import type { Service } from '../service.js';
import { answerStream, finishAll, headOf, noteFinished } from './answers.js';

/** POST /v1/completions */
export async function completions(body: Body, call: Call, service: Service): Promise<Response> {
  const { model, options: limits, metrics } = service;
  const { grok } = model;
  model.checkName(fieldOf(body, 'model'));
  const request = completionRequestOf(body, limits);
  metrics.ignoredFields(numUnknownFields(body, completionFields, unsupportedCompletionFields));
  if (limits.logPrompts) call.details.prompts = request.prompts;

  const options = { ...request.options, signal: call.signal };
  const promptIds = await promptIdsOf(grok, request.prompts, options);
  refuseLargeLogprobs(request, promptIds, limits.maxLogprobs);
  const generations = generationsOf(grok, promptIds, request.n, options);
  const wire = new CompletionWire(service, call, request, promptIds);
  if (request.stream) return await answerStream(wire.events(partsOf(generations)), call, service);
  const finished = await finishAll(generations, call, service);
  return Response.json(wire.whole(finished));
}

function refuseLargeLogprobs(
  { options, n }: CompletionRequest,
  promptIds: readonly (readonly number[])[],
  maxLogprobs: number,
): void {
  if (options.logprobs === undefined) return;
  const tokens = promptIds.reduce((sum, ids) => sum + (options.echo ? ids.length : 0) + (options.maxTokens ?? 0), 0);
  const count = tokens * n * (options.logprobs + 1);
  if (count <= maxLogprobs) return;
  const found = `Expected at most ${maxLogprobs} log-probabilities in one answer, found up to ${count}.`;
  throw new HttpError('invalid_value', found, { param: 'logprobs' });
}

/** Writes the answers of one request in OpenAI's form. */
class CompletionWire {
  readonly #head: Readonly<Record<string, unknown>>;
  readonly #request: CompletionRequest;
  readonly #service: Service;
  readonly #call: Call;
  readonly #logprobs: readonly (CompletionLogprobsWriter | undefined)[];

  constructor(service: Service, call: Call, request: CompletionRequest, promptIds: readonly (readonly number[])[]) {
    const { tokenizer: path } = service.model.grok.info;
    const tokenizer = path === undefined ? undefined : service.model.grok.tokenizer;
    const { options, n, tokensAsIds } = request;
    this.#service = service;
    this.#call = call;
    this.#request = request;
    this.#head = headOf('cmpl', 'text_completion', call, service);
    this.#logprobs = promptIds.flatMap((ids) =>
      Array.from({ length: n }, () =>
        options.logprobs === undefined
          ? undefined
          : new CompletionLogprobsWriter(tokenizer, options.echo ? [] : ids, tokensAsIds),
      ),
    );
  }

  whole(completions: readonly Completion[]): object {
    const choices = completions.map((completion, index) => ({
      ...this.#choice(index, completion),
      finish_reason: completion.finishReason,
    }));
    return { ...this.#head, choices, usage: usageOf(completions, this.#request.n) };
  }

  async *events(parts: AsyncIterable<ChoicePart>): AsyncGenerator<string, void> {
    const completions: Completion[] = [];
    const event = (choice: object) =>
      eventOf({ ...this.#head, choices: [choice], ...(this.#request.includeUsage && { usage: null }) });
    for await (const part of parts) {
      if ('chunk' in part) {
        if (part.chunk.text === '' && part.chunk.logprobs === undefined) continue;
        yield event({ ...this.#choice(part.index, part.chunk), finish_reason: null });
      } else {
        completions[part.index] = part.completion;
        yield event({ index: part.index, text: '', logprobs: null, finish_reason: part.completion.finishReason });
      }
    }
    noteFinished(this.#call, completions, this.#service);
    if (this.#request.includeUsage) {
      yield eventOf({ ...this.#head, choices: [], usage: usageOf(completions, this.#request.n) });
    }
    yield eventOf('[DONE]');
  }

  #choice(index: number, { text, logprobs }: Pick<Chunk, 'text' | 'logprobs'>): object {
    return { index, text, logprobs: (logprobs && this.#logprobs[index]?.write(logprobs)) ?? null };
  }
}
