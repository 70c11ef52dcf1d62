/** One line of the log, as JSON. */
export interface LogEntry {
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly level: 'info' | 'warn' | 'error';
  /** The kind of entry, such as `request`. */
  readonly event: string;
  readonly [detail: string]: unknown;
}

export class Log {
  readonly #write: ((entry: LogEntry) => void) | undefined;

  constructor(write: ((entry: LogEntry) => void) | undefined) {
    this.#write = write;
  }

  add(level: LogEntry['level'], event: string, details: Readonly<Record<string, unknown>> = {}): void {
    if (!this.#write) return;
    try {
      this.#write({ time: new Date().toISOString(), level, event, ...details });
    } catch {
      // A log that fails must not fail the request.
    }
  }
}
