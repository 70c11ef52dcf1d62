import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Context, Hono } from 'hono';
import { type Grok, GrokError } from '../lib/index.js';
import { ApiKeys } from './http/api-keys.js';
import { Call } from './http/call.js';
import { Calls } from './http/calls.js';
import { HostRule, OriginRule, preflightHeaders } from './http/guard.js';
import { HttpError, toHttpError } from './http/http-error.js';
import { Log } from './http/log.js';
import { type Body, readBody } from './http/request-body.js';
import { Metrics } from './metrics.js';
import type { ResolvedServerOptions } from './options.js';
import { applyTemplate, chat } from './routes/chat.js';
import { completions } from './routes/completions.js';
import { modelById, models } from './routes/models.js';
import { health, metricsText, ready } from './routes/status.js';
import { detokenize, tokenize, tokenizerInfo } from './routes/tokens.js';
import { ServedModel } from './served-model.js';
import type { Service } from './service.js';

export interface Env {
  Bindings: { incoming?: IncomingMessage; outgoing?: ServerResponse };
  Variables: { call: Call };
}

interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Needs no key, any Host and any Origin: for probes. */
  readonly isOpen?: boolean;
  /** Answers while the server drains. */
  readonly isStatus?: boolean;
  readonly answer: (context: Context<Env>, service: Service) => Response | Promise<Response>;
}

type BodyRoute = (body: Body, call: Call, service: Service) => Promise<Response>;

/** A route that reads a JSON body. The model is checked first, so that a loading server does not read it. */
function post(path: string, answer: BodyRoute): Route {
  return {
    method: 'POST',
    path,
    answer: async (context, service) => {
      void service.model.grok;
      const body = await readBody(context.req.raw, service.options.maxBodyBytes);
      return await answer(body, context.get('call'), service);
    },
  };
}

/** Every route. docs/SERVER.md lists them; a test compares the lists. */
export const routes: readonly Route[] = [
  { method: 'GET', path: '/health', isOpen: true, isStatus: true, answer: (_, service) => health(service) },
  { method: 'GET', path: '/ready', isOpen: true, isStatus: true, answer: (_, service) => ready(service) },
  { method: 'GET', path: '/metrics', isStatus: true, answer: (_, service) => metricsRoute(service) },
  { method: 'GET', path: '/v1/models', answer: (_, service) => models(service) },
  {
    method: 'GET',
    path: '/v1/models/:id{.+}',
    answer: ({ req }, service) => modelById(req.param('id') ?? '', service),
  },
  post('/v1/completions', completions),
  post('/v1/chat/completions', chat),
  post('/tokenize', tokenize),
  post('/detokenize', detokenize),
  post('/apply-template', applyTemplate),
  { method: 'GET', path: '/tokenizer_info', answer: (_, service) => tokenizerInfo(service) },
];

function metricsRoute(service: Service): Promise<Response> {
  if (service.options.metrics) return metricsText(service);
  throw notFound('/metrics');
}

function notFound(path: string): HttpError {
  return new HttpError('not_found', `There is no ${path.slice(0, 80)} here.`);
}

export function makeService(grok: Grok | PromiseLike<Grok>, options: ResolvedServerOptions): Service {
  const calls = new Calls();
  const model = new ServedModel(grok, options);
  return { model, options, calls, log: new Log(options.logger), metrics: new Metrics(model, () => calls.size) };
}

/** @param allowedHosts as in {@link ServerOptions}, with its default */
export function makeApp(service: Service, allowedHosts: readonly string[] | '*'): Hono<Env> {
  const { options, calls } = service;
  const app = new Hono<Env>();
  const keys = new ApiKeys(options.apiKeys);
  const hosts = new HostRule(allowedHosts);
  const origins = new OriginRule(options.corsOrigins);
  const known = new Map(routes.map((route) => [route.path, route]));

  app.use(async (context, next) => {
    const call = new Call(context.req.raw, context.env?.outgoing, {
      requestTimeout: options.requestTimeout,
      onEnd: (ended) => settle(ended, context, service),
    });
    calls.add(call);
    context.set('call', call);
    await next();
    const { headers } = context.res;
    for (const [name, value] of Object.entries(call.headers)) headers.set(name, value);
    headers.set('x-request-id', call.id);
    headers.set('x-content-type-options', 'nosniff');
    if (calls.isDraining) headers.set('connection', 'close');
    call.details.status = context.res.status;
    if (!call.streams) call.end();
  });

  const guard = (route: Route | undefined) => async (context: Context<Env>, next: () => Promise<void>) => {
    const { req } = context;
    context.get('call').route = route?.path ?? 'other';
    if (route?.isOpen) return await next();
    const host = req.header('host') ?? new URL(req.url).host;
    hosts.check(host);
    Object.assign(context.get('call').headers, origins.check(req.header('origin') ?? null, host));
    if (req.method === 'OPTIONS' && req.header('access-control-request-method')) {
      return context.body(null, 204, preflightHeaders(req.header('access-control-request-headers') ?? null));
    }
    if (!keys.isEmpty && !keys.allows(req.header('authorization') ?? null)) {
      throw new HttpError('invalid_api_key', 'Expected a valid API key: send it as `Authorization: Bearer KEY`.');
    }
    if (calls.isDraining && !route?.isStatus) throw new HttpError('draining', 'The server is shutting down.');
    return await next();
  };

  for (const [path, route] of known) {
    app.use(path, guard(route));
    app.on(route.method, path, (context) => route.answer(context, service));
    app.all(path, (context) => {
      context.get('call').headers.allow = route.method;
      throw new HttpError('method_not_allowed', `Expected ${route.method} for this path, found ${context.req.method}.`);
    });
  }
  app.use(guard(undefined));
  app.notFound((context) => {
    throw notFound(context.req.path);
  });
  app.onError((error, context) => answerError(error, context, service));
  return app;
}

function answerError(error: unknown, context: Context<Env>, { model, metrics, log }: Service): Response {
  const { code, status, body, headers, message } = toHttpError(error);
  if (error instanceof GrokError && error.code === 'GROK_DEVICE_FAILED') model.deviceFailed();
  metrics.failed(code);
  const call = context.get('call');
  if (call) Object.assign(call.details, { error: code, message });
  if (status >= 500 && code === 'internal_error') {
    log.add('error', 'internal_error', {
      request_id: call?.id,
      stack: error instanceof Error ? error.stack : `${error}`,
    });
  }
  return context.json(body, status as 400, headers);
}

/** Counts and logs a request whose answer is complete. */
function settle(call: Call, context: Context<Env>, { calls, log, metrics }: Service): void {
  calls.remove(call);
  const { status = 499, ...details } = call.details as { status?: number };
  const { method, path } = context.req;
  const seconds = (performance.now() - call.startedAt) / 1000;
  metrics.answered(call.route, method, status, seconds);
  log.add('info', 'request', {
    ...{ request_id: call.id, method, path: path.slice(0, 200), status },
    ms: Math.round(1000 * seconds),
    ...details,
  });
}
