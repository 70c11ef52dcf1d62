import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { type Grok, GrokError } from '../lib/index.js';
import { makeApp, makeService } from './app.js';
import { HttpError } from './http/http-error.js';
import { close, listen } from './http/listening.js';
import { answerRawErrors } from './http/raw-errors.js';
import { type ResolvedServerOptions, resolveServerOptions, type ServerOptions } from './options.js';
import { metricsText } from './routes/status.js';

/** An HTTP server for one model. */
export interface GrokServer {
  /** Node's server, for those who need its events. */
  readonly http: Server;
  /**
   * Listens; port 0 takes any free one. Resolves with the address.
   * @throws {GrokError} GROK_INVALID_ARGUMENT for a host that other machines reach, without an API key
   */
  listen(port?: number, host?: string): Promise<AddressInfo>;
  /** Listens for `/metrics` alone, without a key: on a port that only the monitoring reaches. */
  listenForMetrics(port: number, host?: string): Promise<AddressInfo>;
  /**
   * Stops listening, finishes the requests that were accepted, and closes. Requests that take longer than `drainTimeout`
   * end with an error. It does not close the model.
   */
  close(): Promise<void>;
  /** Ends every request now and closes. */
  closeNow(): Promise<void>;
}

export const defaultHost = '127.0.0.1';
export const defaultPort = 8000;

/** Time for the last bytes of answers, after the last request is done. */
const lastBytesMs = 1000;

/**
 * Makes an HTTP server that OpenAI's clients can call. The model may still be loading: then `/ready` tells the progress.
 *
 * @throws {GrokError} GROK_INVALID_ARGUMENT
 *
 * @example
 * const server = createServer(await Grok.load());
 * const { port } = await server.listen(8000);
 */
export function createServer(grok: Grok | PromiseLike<Grok>, options?: ServerOptions): GrokServer {
  const resolved = resolveServerOptions(options);
  const service = makeService(grok, resolved);
  const app = makeApp(service, resolved.allowedHosts ?? (resolved.apiKeys.length > 0 ? '*' : []));
  const listener = getRequestListener(app.fetch, {
    overrideGlobalObjects: false, // a library leaves the globals of its host alone
    errorHandler: () => {
      const { body, status } = new HttpError('bad_request', 'Expected a URL, found a path that makes none.');
      return Response.json(body, { status });
    },
  });
  const http = makeHttpServer(resolved, listener);
  const metrics = createHttpServer(async (incoming, outgoing) => {
    const isKnown = incoming.method === 'GET' && incoming.url?.split('?')[0] === '/metrics';
    const answer = isKnown ? await metricsText(service) : new Response(null, { status: 404 });
    outgoing.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
  });
  const shutDown = async (patienceMs: number) => {
    const drained = service.calls.drain(patienceMs);
    if (patienceMs === 0) service.calls.abort();
    await Promise.all([close(http, drained, lastBytesMs), close(metrics, drained, lastBytesMs)]);
  };
  return {
    http,
    async listen(port = defaultPort, host = defaultHost) {
      refuseOpenHost(host, resolved);
      return await listen(http, port, host);
    },
    listenForMetrics: (port, host = defaultHost) => listen(metrics, port, host),
    close: () => shutDown(resolved.drainTimeout),
    closeNow: () => shutDown(0),
  };
}

function makeHttpServer(options: ResolvedServerOptions, listener: RequestListener): Server {
  const { bodyTimeout, keepAliveTimeout, maxConnections, maxHeaderBytes, writeTimeout } = options;
  const answer: RequestListener = (incoming, outgoing) => {
    // A client that does not take the last bytes of an answer is dropped.
    outgoing.once('prefinish', () => {
      const timer = setTimeout(() => outgoing.destroy(), writeTimeout);
      outgoing.once('finish', () => clearTimeout(timer)).once('close', () => clearTimeout(timer));
    });
    listener(incoming, outgoing);
  };
  const server = createHttpServer(
    {
      maxHeaderSize: maxHeaderBytes,
      requestTimeout: bodyTimeout,
      headersTimeout: bodyTimeout,
      connectionsCheckingInterval: Math.min(bodyTimeout, 5000),
      keepAliveTimeout,
    },
    answer,
  );
  server.on('checkExpectation', answer); // an unknown expectation is ignored
  server.maxConnections = maxConnections;
  answerRawErrors(server);
  return server;
}

function refuseOpenHost(host: string, { apiKeys, noApiKey }: ResolvedServerOptions): void {
  const isLoopback = host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host);
  if (isLoopback || apiKeys.length > 0 || noApiKey) return;
  throw new GrokError(`Expected API keys for a server that other machines reach at ${host}, found none`, {
    code: 'GROK_INVALID_ARGUMENT',
    hint: 'Pass `apiKeys`, or `noApiKey`: true if everybody who reaches this address may use the model.',
    details: { name: 'apiKeys' },
  });
}
