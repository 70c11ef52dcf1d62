import type { Calls } from './http/calls.js';
import type { Log } from './http/log.js';
import type { Metrics } from './metrics.js';
import type { ResolvedServerOptions } from './options.js';
import type { ServedModel } from './served-model.js';

/** The parts that the routes share. */
export interface Service {
  readonly model: ServedModel;
  readonly options: ResolvedServerOptions;
  readonly calls: Calls;
  readonly log: Log;
  readonly metrics: Metrics;
}
