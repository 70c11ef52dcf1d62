import type { ServerResponse } from 'node:http';
import { HttpError } from './http-error.js';

/** One request from its arrival to the last byte of its answer. */
export class Call {
  readonly id: string;
  readonly startedAt = performance.now();
  /** Details for the log. */
  readonly details: Record<string, unknown> = {};
  /** Pattern of the path, for the metrics. */
  route = 'other';
  /** Headers of the answer, whatever it is. */
  readonly headers: Record<string, string> = {};
  readonly #controller = new AbortController();
  readonly #outgoing: ServerResponse | undefined;
  readonly #onEnd: (call: Call) => void;
  readonly #timer: NodeJS.Timeout;
  #hasEnded = false;
  #streams = false;

  constructor(
    request: Request,
    outgoing: ServerResponse | undefined,
    { requestTimeout, onEnd }: { requestTimeout: number; onEnd: (call: Call) => void },
  ) {
    this.id = requestIdOf(request.headers.get('x-request-id'));
    this.#outgoing = outgoing;
    this.#onEnd = onEnd;
    this.#timer = setTimeout(
      () => this.abort(new HttpError('request_timeout', `The answer was not finished after ${requestTimeout} ms.`)),
      requestTimeout,
    );
    this.#timer.unref();
    const leave = () => this.abort(new HttpError('client_left', 'The client closed the connection.'));
    if (outgoing) outgoing.once('close', () => outgoing.writableFinished || leave());
    else request.signal.addEventListener('abort', leave, { once: true });
  }

  /** Aborts when nobody needs the answer any more, or when it takes too long. Its reason is an {@link HttpError}. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether the answer is a stream, which ends later than its handler. */
  get streams(): boolean {
    return this.#streams;
  }

  /** Node's response; absent behind a fetch handler. */
  get outgoing(): ServerResponse | undefined {
    return this.#outgoing;
  }

  willStream(): void {
    this.#streams = true;
  }

  abort(reason: HttpError): void {
    if (!this.#hasEnded) this.#controller.abort(reason);
  }

  /** The answer is complete, or given up. Generations that still run are cancelled. */
  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    this.#onEnd(this);
    this.#controller.abort(new HttpError('client_left', 'The answer has ended.'));
  }
}

/** The client's own id if it is short and printable, otherwise a new one. */
function requestIdOf(given: string | null): string {
  return given !== null && /^[\x21-\x7e]{1,128}$/.test(given) ? given : crypto.randomUUID();
}
