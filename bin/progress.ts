import type { SingleBar } from 'cli-progress';
import type { Host } from './host.js';
import type { OutputFlags } from './options.js';
import { formatBytes, formatDuration } from './units.js';

/** A shorter load gets no bar, which would only flicker. */
const PATIENCE_MS = 400;

/** These end the process without an exit event. Ctrl+C has one: see grok-run.ts. */
const ENDING_SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

/** Runs work that reports its progress, with a bar on a terminal. */
export async function withBar<Result>(
  host: Host,
  { quiet, progress }: OutputFlags,
  activity: string,
  work: (bar: LoadBar | undefined) => Promise<Result>,
): Promise<Result> {
  const bar = host.stderr.isTTY && !quiet && progress !== false ? new LoadBar(host, activity) : undefined;
  try {
    return await work(bar);
  } finally {
    bar?.stop();
  }
}

interface LoadProgress {
  readonly loadedBytes: number;
  readonly totalBytes: number;
  readonly tensor: string;
}

/** A bar on stderr while files are read. */
export class LoadBar {
  private readonly startedAt = performance.now();
  private bar: SingleBar | undefined;
  private state: 'waiting' | 'drawing' | 'stopped' = 'waiting';
  private latest: LoadProgress = { loadedBytes: 0, totalBytes: 0, tensor: '' };
  private readonly stopAtExit = () => this.stop();
  /** Removes the bar, then sends the signal again, which ends the process. */
  private readonly stopAtSignal = (signal: NodeJS.Signals) => {
    this.stop();
    process.kill(process.pid, signal);
  };

  constructor(
    private readonly host: Host,
    private readonly activity: string,
  ) {}

  update(progress: LoadProgress): void {
    this.latest = progress;
    if (this.state === 'waiting' && performance.now() - this.startedAt > PATIENCE_MS) {
      this.state = 'drawing';
      void this.draw();
    }
    this.bar?.update(progress.loadedBytes, this.words());
  }

  /** Removes the bar and shows the cursor again. */
  stop(): void {
    this.state = 'stopped';
    this.bar?.stop();
    this.bar = undefined;
    process.off('exit', this.stopAtExit);
    for (const signal of ENDING_SIGNALS) process.off(signal, this.stopAtSignal);
  }

  private async draw(): Promise<void> {
    const { SingleBar, Presets } = (await import('cli-progress')).default;
    if (this.state === 'stopped') return;
    this.bar = new SingleBar(
      {
        format: `${this.activity} {bar} {percentage}% | {loaded} of {total_} | {left} left | {tensor}`,
        stream: this.host.stderr as NodeJS.WriteStream,
        clearOnComplete: true,
        hideCursor: true,
        linewrap: false,
        barsize: 24,
        // This class and grok-run.ts handle signals.
        gracefulExit: false,
      },
      Presets.shades_classic,
    );
    process.once('exit', this.stopAtExit);
    for (const signal of ENDING_SIGNALS) process.once(signal, this.stopAtSignal);
    this.bar.start(this.latest.totalBytes, this.latest.loadedBytes, this.words());
  }

  private words(): Record<string, string> {
    const { loadedBytes, totalBytes, tensor } = this.latest;
    const elapsed = performance.now() - this.startedAt;
    const left = loadedBytes > 0 ? formatDuration((elapsed * (totalBytes - loadedBytes)) / loadedBytes) : '?';
    return { loaded: formatBytes(loadedBytes), total_: formatBytes(totalBytes), left, tensor };
  }
}
