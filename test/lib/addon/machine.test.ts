import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { oldestNode, requireSupportedMachine } from '../../../lib/addon/machine.js';
import { GrokError } from '../../../lib/errors.js';

const node = process.versions.node;

function refusal(machine: { node?: string; platform?: string; arch?: string }): GrokError {
  try {
    const { platform = 'linux', arch = 'x64' } = machine;
    requireSupportedMachine({ versions: { node: machine.node ?? node }, platform, arch });
  } catch (error) {
    return error as GrokError;
  }
  throw new Error('it was accepted');
}

describe('a machine that cannot run the addon', () => {
  it.each(['18.20.8', '20.18.3'])('is told which Node is needed: %s', (old) => {
    const { code, message, hint } = refusal({ node: old });
    expect(code).toBe('GROK_UNSUPPORTED');
    expect(message).toBe(`grok-run needs Node 20.19 or newer, and this is Node ${old}`);
    expect(hint).toBe('Install a newer Node.');
  });

  it.each([
    [{ platform: 'darwin', arch: 'arm64' }, 'this is darwin arm64', 'Linux container'],
    [{ platform: 'win32', arch: 'x64' }, 'this is win32 x64', 'WSL 2'],
    [{ platform: 'linux', arch: 'ppc64' }, 'this is linux ppc64', 'x64 or arm64'],
  ])('is told which systems are supported: %o', (machine, message, hint) => {
    const error = refusal(machine);
    expect(error).toBeInstanceOf(GrokError);
    expect(error.code).toBe('GROK_NO_BINARY');
    expect(error.message).toContain(message);
    expect(error.hint).toContain(hint);
  });
});

describe('a supported machine', () => {
  it.each(['20.19.0', '22.0.0', '26.12.1'])('is accepted with Node %s', (version) => {
    for (const arch of ['x64', 'arm64'])
      requireSupportedMachine({ versions: { node: version }, platform: 'linux', arch });
  });

  it('is that of package.json, and of the check at the start of the command line', () => {
    const { major, minor } = oldestNode;
    expect(JSON.parse(readFileSync('package.json', 'utf8')).engines.node).toBe(`>=${major}.${minor}.0`);
    expect(readFileSync('bin/grok-run.ts', 'utf8')).toContain(`oldestNode = [${major}, ${minor}]`);
  });
});
