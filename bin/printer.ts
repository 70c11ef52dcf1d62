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

  /** A piece of the result, as it is. Waits while the reader is slower than we are. */
  async text(text: string): Promise<void> {
    if (text !== '' && !this.host.stdout.write(text)) await once(this.host.stdout, 'drain');
  }

  async line(line: string): Promise<void> {
    await this.text(`${line}\n`);
  }

  /** Text that ends with a line break, its own or ours. */
  async paragraph(text: string): Promise<void> {
    await this.text(text.endsWith('\n') ? text : `${text}\n`);
  }

  async json(value: unknown): Promise<void> {
    await this.line(JSON.stringify(value));
  }

  /** A remark beside the result. */
  note(message: string): void {
    if (!this.flags.quiet) this.host.stderr.write(`grok-run: ${printable(message)}\n`);
  }

  /** A remark for those who asked for more. */
  detail(message: string): void {
    if (this.flags.verbose) this.host.stderr.write(`${printable(message)}\n`);
  }

  /** `text` in a style on stdout, where a person sees it. */
  styled(style: Style, text: string): string {
    return this.hasColor(this.host.stdout) ? styleText(style, text, { validateStream: false }) : text;
  }

  private hasColor(stream: Writable & { readonly isTTY?: boolean }): boolean {
    const { NO_COLOR, FORCE_COLOR } = this.host.env;
    if (this.flags.color === false || NO_COLOR) return false;
    return FORCE_COLOR ? FORCE_COLOR !== '0' : stream.isTTY === true;
  }
}

/** Rows under each other: the first column to the left, numbers (columns named in `right`) to the right. */
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
