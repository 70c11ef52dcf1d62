import { basename, dirname, extname } from 'node:path';
import type { Grok, LoadProgress } from '../lib/index.js';
import { HttpError } from './http/http-error.js';

/** The model behind a server, which may still be loading. */
export class ServedModel {
  readonly #givenName: string | undefined;
  readonly #progress: (() => LoadProgress | undefined) | undefined;
  /** Seconds since 1970, as OpenAI's servers count. */
  readonly created = Math.floor(Date.now() / 1000);
  #grok: Grok | undefined;
  #failure: 'load' | 'device' | undefined;
  #hasChatted = false;

  constructor(
    grok: Grok | PromiseLike<Grok>,
    options: { modelName: string | undefined; progress: (() => LoadProgress | undefined) | undefined },
  ) {
    this.#givenName = options.modelName;
    this.#progress = options.progress;
    if (!('then' in grok)) {
      this.#grok = grok;
      return;
    }
    grok.then(
      (loaded) => {
        this.#grok = loaded;
      },
      () => {
        this.#failure = 'load'; // whoever loads it reports the error
      },
    );
  }

  get state(): 'loading' | 'ready' | 'failed' {
    if (this.#failure) return 'failed';
    return this.#grok ? 'ready' : 'loading';
  }

  /** The share of the weights that is loaded, 0 to 1, and bytes. */
  get progress(): { progress: number; loaded_bytes: number; total_bytes: number } {
    const { loadedBytes = 0, totalBytes = 0 } = this.#progress?.() ?? {};
    const progress = totalBytes > 0 ? loadedBytes / totalBytes : 0;
    return { progress, loaded_bytes: loadedBytes, total_bytes: totalBytes };
  }

  /** @throws {HttpError} model_loading, model_failed, draining */
  get grok(): Grok {
    if (this.#failure === 'device') throw new HttpError('model_failed', 'The device that runs the model failed.');
    if (this.#failure === 'load') throw new HttpError('model_failed', 'The model could not be loaded.');
    if (!this.#grok) {
      const percent = Math.floor(100 * this.progress.progress);
      throw new HttpError('model_loading', `The model is still loading: ${percent} %.`);
    }
    if (this.#grok.closed) throw new HttpError('draining', 'The model was closed.');
    return this.#grok;
  }

  /** Without an error; undefined while it loads. */
  get loaded(): Grok | undefined {
    return this.#grok?.closed ? undefined : this.#grok;
  }

  get name(): string {
    return this.#givenName ?? nameOf(this.grok.info.source);
  }

  /** The device is lost until the process restarts. */
  deviceFailed(): void {
    this.#failure = 'device';
  }

  /** true the first time. */
  firstChat(): boolean {
    const isFirst = !this.#hasChatted;
    this.#hasChatted = true;
    return isFirst;
  }

  /** Refuses a request for another model. */
  checkName(name: unknown): void {
    if (name === undefined || name === '') return;
    if (name === this.name) return;
    const shown = typeof name === 'string' ? name.slice(0, 80) : typeof name;
    throw new HttpError('model_not_found', `The model \`${shown}\` does not exist; this server has \`${this.name}\`.`, {
      param: 'model',
    });
  }
}

/** The directory of a checkpoint: `grok-1` for /models/grok-1/ckpt-0 and for /models/grok-1/model.safetensors. */
function nameOf(source: string): string {
  const isPart = /^ckpt-\d+$/.test(basename(source)) || /^\.(safetensors|json)$/.test(extname(source));
  return basename(isPart ? dirname(source) : source) || 'grok';
}
