import { collectDefaultMetrics } from 'prom-client';
import { type errorKinds, HttpError } from '../http/http-error.js';
import type { Service } from '../service.js';

type State = 'ready' | 'loading' | 'draining' | 'failed';

function stateOf({ model, calls }: Service): State {
  if (model.state === 'failed') return 'failed';
  return calls.isDraining ? 'draining' : model.state;
}

/** GET /health: whether the process should go on living. */
export function health(service: Service): Response {
  const status = stateOf(service);
  return Response.json({ status: status === 'ready' ? 'ok' : status }, { status: status === 'failed' ? 503 : 200 });
}

const messages: Readonly<Record<Exclude<State, 'ready'>, [keyof typeof errorKinds, string]>> = {
  loading: ['model_loading', 'The model is still loading.'],
  draining: ['draining', 'The server is shutting down.'],
  failed: ['model_failed', 'The model failed.'],
};

/** GET /ready: whether requests are welcome, and how much of the model is loaded. */
export function ready(service: Service): Response {
  const status = stateOf(service);
  if (status === 'ready') return Response.json({ status, model: service.model.name, progress: 1 });
  const error = new HttpError(...messages[status]);
  const body = { status, ...service.model.progress, ...error.body };
  return Response.json(body, { status: error.status, headers: error.headers });
}

const withProcess = new WeakSet<object>();

/** GET /metrics */
export async function metricsText({ metrics: { registry } }: Service): Promise<Response> {
  if (!withProcess.has(registry)) {
    withProcess.add(registry);
    collectDefaultMetrics({ register: registry });
  }
  return new Response(await registry.metrics(), { headers: { 'content-type': registry.contentType } });
}
