import { describe, expect, it } from 'vitest';
import { settle } from '../../bin/failure.js';
import { printable, printableLines } from '../../bin/printable.js';
import { table } from '../../bin/printer.js';
import { grokError } from './fake-host.js';

describe('printable', () => {
  it.each([
    ['\u001b]0;title\u0007', '\\x1b]0;title\\x07'],
    ['tensor00001_000.\u001b[31m', 'tensor00001_000.\\x1b[31m'],
    ['\u009b2J', '\\x9b2J'],
    ['a\rb\nc', 'a\\x0db\\x0ac'],
    ['invoice\u202efdp', 'invoice\\u202efdp'],
    ['東京 é 🧙', '東京 é 🧙'],
  ])('shows %j as %j', (name, shown) => {
    expect(printable(name)).toBe(shown);
  });

  it('keeps the breaks between lines', () => {
    expect(printableLines('2 files are wrong:\n  a\u001b[2J')).toBe('2 files are wrong:\n  a\\x1b[2J');
  });
});

it('keeps a name in an error from the terminal, in message, hint and stack', () => {
  const error = grokError('GROK_NOT_FOUND', 'No such file: /x\u001b[31m', 'see \u001b]0;title\u0007');
  const { report } = settle(error, { asJson: false, verbose: true });
  expect(report).toContain('/x\\x1b[31m (fix: see \\x1b]0;title\\x07)');
  expect(report).not.toContain('\u001b');
});

it('keeps a name in a table from the terminal', () => {
  expect(table([['path', '/models/\u001b[31m']])).toEqual(['path  /models/\\x1b[31m']);
});
