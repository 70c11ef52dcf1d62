import { createHash } from 'node:crypto';
import { type Completion, type Generation, GrokError, version } from '../../lib/index.js';
import type { Call } from '../http/call.js';
import { eventStream, eventStreamHeaders } from '../http/event-stream.js';
import { toHttpError } from '../http/http-error.js';
import type { Service } from '../service.js';

/** The fields that all events of an answer share. */
export function headOf(prefix: string, object: string, call: Call, { model }: Service): Record<string, unknown> {
  const { device, source, dtype } = model.grok.info;
  const fingerprint = createHash('sha256').update([version, device, source, dtype].join('\n')).digest('hex');
  return {
    id: `${prefix}-${call.id}`,
    object,
    created: Math.floor(Date.now() / 1000),
    model: model.name,
    system_fingerprint: `fp_${fingerprint.slice(0, 10)}`,
  };
}

/** Waits for every generation. The first failure ends the others. */
export async function finishAll(
  generations: readonly Generation[],
  call: Call,
  service: Service,
): Promise<readonly Completion[]> {
  const completions = await Promise.all(generations.map((generation) => generation.result));
  noteFinished(call, completions, service);
  return completions;
}

/** Counts finished choices, for metrics and log. */
export function noteFinished(call: Call, completions: readonly Completion[], { metrics, options }: Service): void {
  for (const completion of completions) metrics.finished(completion);
  call.details.completion_tokens = completions.reduce((sum, { usage }) => sum + usage.completionTokens, 0);
  if (options.logPrompts) call.details.texts = completions.map(({ text }) => text);
}

/**
 * A streamed answer. Its first event is made before the headers are sent, so that a request that cannot start gets a
 * status of its own.
 */
export async function answerStream(
  events: AsyncGenerator<string, void>,
  call: Call,
  { options: { writeTimeout }, metrics, model }: Service,
): Promise<Response> {
  const first = await events.next();
  const hooks = {
    writeTimeout,
    onSlow: () => metrics.droppedSlowClient(),
    onError: (error: unknown) => {
      if (error instanceof GrokError && error.code === 'GROK_DEVICE_FAILED') model.deviceFailed();
      const { code, message } = toHttpError(error);
      metrics.failed(code);
      call.details.error = code;
      call.details.message = message;
    },
  };
  call.willStream();
  return new Response(eventStream(prepended(first, events), call, hooks), { headers: eventStreamHeaders });
}

async function* prepended(
  first: IteratorResult<string, void>,
  rest: AsyncGenerator<string, void>,
): AsyncGenerator<string, void> {
  if (first.done) return;
  yield first.value;
  yield* rest;
}
