import type { Grok } from '../lib/index.js';
import { makeApp, makeService } from './app.js';
import { resolveServerOptions, type ServerOptions } from './options.js';

/** Answers requests of the fetch standard. */
export interface Handler {
  (request: Request): Promise<Response>;
  /** Refuses new requests and waits for the others, at most `drainTimeout` ms. */
  drain(): Promise<void>;
}

/**
 * Makes a handler for an existing service, such as a route of Hono, Bun or Next.js. That service is responsible for
 * limits on connections and headers, and for the names of its host.
 *
 * @throws {GrokError} GROK_INVALID_ARGUMENT
 *
 * @example
 * const grok = createHandler(await Grok.load());
 * app.all('/v1/*', (context) => grok(context.req.raw));
 */
export function createHandler(grok: Grok | PromiseLike<Grok>, options?: ServerOptions): Handler {
  const resolved = resolveServerOptions(options);
  const service = makeService(grok, resolved);
  const app = makeApp(service, resolved.allowedHosts ?? '*');
  const handle = async (request: Request) => await app.fetch(request);
  return Object.assign(handle, { drain: () => service.calls.drain(resolved.drainTimeout) });
}
