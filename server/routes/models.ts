import type { Service } from '../service.js';

/** GET /v1/models */
export function models(service: Service): Response {
  return Response.json({ object: 'list', data: [describe(service)] });
}

/** GET /v1/models/{id} */
export function modelById(id: string, service: Service): Response {
  service.model.checkName(id);
  return Response.json(describe(service));
}

function describe({ model }: Service): object {
  const { contextSize, parameters } = model.grok.info;
  return {
    id: model.name,
    object: 'model',
    created: model.created,
    owned_by: 'xai-org',
    max_model_len: contextSize,
    parameters: parameters.total,
    description: 'A base model: it continues text. It may be wrong, biased or unsafe, and has no safety tuning.',
  };
}
