import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Completion } from '../lib/index.js';
import type { ServedModel } from './served-model.js';

const times = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const tokenCounts = [1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192];

/** The metrics of one server, in the format of Prometheus. Every name is listed in docs/SERVER.md. */
export class Metrics {
  readonly registry = new Registry();
  readonly #registers = { registers: [this.registry] };

  readonly #httpRequests = this.#counter('http_requests_total', 'Answers by route, method and status', [
    'route',
    'method',
    'status',
  ]);
  readonly #httpSeconds = this.#histogram(
    'e2e_request_latency_seconds',
    'Time from a request to the end of its answer',
    times,
  );
  readonly #firstToken = this.#histogram(
    'time_to_first_token_seconds',
    'Time from the start of a choice to its first token',
    times,
  );
  readonly #perToken = this.#histogram('time_per_output_token_seconds', 'Mean time between tokens of a choice', times);
  readonly #queued = this.#histogram(
    'request_queue_time_seconds',
    'Time before the first step that read the prompt',
    times,
  );
  readonly #prefill = this.#histogram('request_prefill_time_seconds', 'Time of reading the prompt', times);
  readonly #promptTokens = this.#histogram('request_prompt_tokens', 'Tokens of a prompt', tokenCounts);
  readonly #generatedTokens = this.#histogram('request_generation_tokens', 'Generated tokens of a choice', tokenCounts);
  readonly #finished = this.#counter('choices_finished_total', 'Finished choices by reason', ['reason']);
  readonly #errors = this.#counter('errors_total', 'Error answers by code', ['code']);
  readonly #ignored = this.#counter('ignored_fields_total', 'Fields of requests without a meaning here', []);
  readonly #slow = this.#counter('slow_clients_total', 'Connections dropped because their clients read too slowly', []);

  constructor(model: ServedModel, numOpen: () => number) {
    this.#gauge('http_requests_open', 'Requests whose answers are not complete', numOpen);
    const stats = () => model.loaded?.stats();
    this.#gauge('ready', '1 when the model is loaded', () => (model.state === 'ready' ? 1 : 0));
    this.#gauge('requests_running', 'Generations that steps process', () => stats()?.running ?? 0);
    this.#gauge('requests_waiting', 'Generations that wait for their first step', () => stats()?.waiting ?? 0);
    this.#gauge('cache_pages_used', 'Pages of the key-value cache in use', () => stats()?.pages.used ?? 0);
    this.#gauge('cache_pages_free', 'Free pages of the key-value cache', () => stats()?.pages.free ?? 0);
    this.#gauge(
      'cache_pages_prefix',
      'Pages whose tokens later requests need not compute',
      () => stats()?.pages.prefix ?? 0,
    );
    this.#total('prompt_tokens_total', 'Prompt tokens computed', () => stats()?.tokens.prompt ?? 0);
    this.#total('reused_tokens_total', 'Prompt tokens found in the prefix cache', () => stats()?.tokens.reused ?? 0);
    this.#total('generation_tokens_total', 'Tokens generated', () => stats()?.tokens.generated ?? 0);
    this.#total('steps_total', 'Forward passes', () => stats()?.steps ?? 0);
  }

  answered(route: string, method: string, status: number, seconds: number): void {
    this.#httpRequests.inc({ route, method, status: `${status}` });
    this.#httpSeconds.observe(seconds);
  }

  failed(code: string): void {
    this.#errors.inc({ code });
  }

  finished({ finishReason, timings, usage }: Completion): void {
    this.#finished.inc({ reason: finishReason });
    this.#promptTokens.observe(usage.promptTokens);
    this.#generatedTokens.observe(usage.completionTokens);
    if (usage.completionTokens === 0) return;
    this.#queued.observe(timings.queueMs / 1000);
    this.#prefill.observe(timings.prefillMs / 1000);
    this.#firstToken.observe(timings.firstTokenMs / 1000);
    if (usage.completionTokens > 1) this.#perToken.observe(timings.decodeMs / 1000 / (usage.completionTokens - 1));
  }

  ignoredFields(count: number): void {
    if (count > 0) this.#ignored.inc(count);
  }

  droppedSlowClient(): void {
    this.#slow.inc();
  }

  #counter<Label extends string>(name: string, help: string, labelNames: readonly Label[]): Counter<Label> {
    return new Counter({ name: `grok_run_${name}`, help, labelNames: [...labelNames], ...this.#registers });
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram<never> {
    return new Histogram({ name: `grok_run_${name}`, help, buckets, ...this.#registers });
  }

  /** A value that is read when the metrics are asked for. */
  #gauge(name: string, help: string, read: () => number): void {
    const collect = function (this: Gauge) {
      this.set(read());
    };
    new Gauge({ name: `grok_run_${name}`, help, collect, ...this.#registers });
  }

  /** A count that the library keeps. */
  #total(name: string, help: string, read: () => number): void {
    const collect = function (this: Counter) {
      this.reset();
      this.inc(read());
    };
    new Counter({ name: `grok_run_${name}`, help, collect, ...this.#registers });
  }
}
