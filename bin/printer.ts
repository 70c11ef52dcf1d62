import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { styleText } from 'node:util';
import type { Host } from './host.js';
import { printable } from './printable.js';

export interface PrinterFlags {
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly color?: boolean;
}

type Style = 'green' | 'red' | 'yellow' | 'bold' | 'dim';

/** Results go to stdout, everything else to stderr. */
export class Printer {
  constructor(
    private readonly host: Host,
    private readonly flags: PrinterFlags,
  ) {}

  /** Prints part of the result unchanged. Waits while the reader is slower. */
  async text(text: string): Promise<void> {
    if (text !== '' && !this.host.stdout.write(text)) await once(this.host.stdout, 'drain');
  }

  async line(line: string): Promise<void> {
    await this.text(`${line}\n`);
  }

  /** Prints text, and a line break if it does not end with one. */
  async paragraph(text: string): Promise<void> {
    await this.text(text.endsWith('\n') ? text : `${text}\n`);
  }

  async json(value: unknown): Promise<void> {
    await this.line(JSON.stringify(value));
  }

  /** Prints a remark beside the result. */
  note(message: string): void {
    if (!this.flags.quiet) this.host.stderr.write(`grok-run: ${printable(message)}\n`);
  }

  /** Prints a remark with --verbose. */
  detail(message: string): void {
    if (this.flags.verbose) this.host.stderr.write(`${printable(message)}\n`);
  }

  /** `text` in a style, if stdout is a terminal. */
  styled(style: Style, text: string): string {
    return this.hasColor(this.host.stdout) ? styleText(style, text, { validateStream: false }) : text;
  }

  private hasColor(stream: Writable & { readonly isTTY?: boolean }): boolean {
    const { NO_COLOR, FORCE_COLOR } = this.host.env;
    if (this.flags.color === false || NO_COLOR) return false;
    return FORCE_COLOR ? FORCE_COLOR !== '0' : stream.isTTY === true;
  }
}

/** Aligns rows: numbers (the columns in `right`) to the right, other columns to the left. */
export function table(cells: readonly (readonly string[])[], right: ReadonlySet<number> = new Set()): string[] {
  const rows = cells.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return rows.map((row) =>
    row
      .map((cell, column) =>
        right.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}
