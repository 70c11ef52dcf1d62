import type { Call } from './call.js';
import { HttpError, toHttpError } from './http-error.js';

const encoder = new TextEncoder();

export const eventStreamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no', // nginx then passes each event on at once
} as const;

/** The text of one server-sent event. */
export function eventOf(value: unknown): string {
  return `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`;
}

/**
 * The body of a stream of events. Reads `events` only as fast as the client takes them, and drops a client that takes
 * nothing for `writeTimeout`. An error becomes the last event.
 */
export function eventStream(
  events: AsyncGenerator<string, void>,
  call: Call,
  { writeTimeout, onSlow, onError }: StreamHooks,
): ReadableStream<Uint8Array> {
  let timer: NodeJS.Timeout | undefined;
  let isGone = false;
  const finish = () => {
    clearTimeout(timer);
    call.end();
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(timer);
        try {
          const { done, value } = await events.next();
          if (done) {
            controller.close();
            finish();
            return;
          }
          controller.enqueue(encoder.encode(value));
          timer = setTimeout(() => {
            isGone = true;
            onSlow();
            call.abort(new HttpError('slow_client', `The client took nothing for ${writeTimeout} ms.`));
            if (call.outgoing) call.outgoing.destroy();
            else controller.error(new Error('The client is too slow.'));
            finish();
          }, writeTimeout);
        } catch (error) {
          if (isGone) return; // the client that left caused it
          onError(error);
          controller.enqueue(encoder.encode(eventOf(toHttpError(error).body)));
          controller.close();
          finish();
        }
      },
      async cancel() {
        isGone = true;
        call.abort(new HttpError('client_left', 'The client closed the connection.'));
        finish();
        await events.return();
      },
    },
    { highWaterMark: 0 }, // nothing is read ahead
  );
}

interface StreamHooks {
  readonly writeTimeout: number;
  readonly onSlow: () => void;
  readonly onError: (error: unknown) => void;
}
