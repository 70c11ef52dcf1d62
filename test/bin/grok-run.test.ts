import { rmSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import './grok-run/failure.js';
import './grok-run/stop.js';
import './grok-run/output.js';
import './grok-run/commands.js';
import { folder, run, usedArguments } from './grok-run/process.js';

// The installed program: compiled, in its own process, with the real addon and the embedded model.
// These tests form one test file because the help is compared with the arguments of all of them.

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the help', () => {
  it('has no flag that the tests above did not use', async () => {
    const { stdout } = await run(['--help']);
    const documented = [...stdout.matchAll(/^ {2}(?:(-\w), )?(--[a-z-]+)/gm)].map(([, short, long]) => [short, long]);
    expect(documented.length).toBeGreaterThan(20);
    expect(documented.filter((names) => !names.some((name) => name && usedArguments.has(name)))).toEqual([]);
  });
});
