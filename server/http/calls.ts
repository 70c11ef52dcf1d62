import type { Call } from './call.js';
import { HttpError } from './http-error.js';

/** The requests that are accepted and not finished. */
export class Calls {
  readonly #open = new Set<Call>();
  readonly #whenEmpty: (() => void)[] = [];
  #draining: Promise<void> | undefined;

  get size(): number {
    return this.#open.size;
  }

  get isDraining(): boolean {
    return this.#draining !== undefined;
  }

  add(call: Call): void {
    this.#open.add(call);
  }

  remove(call: Call): void {
    this.#open.delete(call);
    if (this.#open.size > 0) return;
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  /** Finishes what was accepted, for at most `patienceMs`; then ends the rest. Later requests are refused. */
  drain(patienceMs: number): Promise<void> {
    this.#draining ??= this.#drain(patienceMs);
    return this.#draining;
  }

  /** Ends every request now. */
  abort(): void {
    for (const call of this.#open) call.abort(new HttpError('draining', 'The server is shutting down.'));
  }

  async #drain(patienceMs: number): Promise<void> {
    if (this.#open.size === 0) return;
    const timer = setTimeout(() => this.abort(), patienceMs);
    await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
    clearTimeout(timer);
  }
}
