import { GrokError } from '../errors.js';

/** A test compares it with `engines` in package.json. */
export const oldestNode = { major: 20, minor: 19 } as const;

/** The properties of `process` that decide whether the addon can run. */
export interface Machine {
  readonly versions: { readonly node: string };
  readonly platform: string;
  readonly arch: string;
}

/** @throws {GrokError} GROK_UNSUPPORTED for an old Node, GROK_NO_BINARY for another system than Linux on x64 or arm64 */
export function requireSupportedMachine({ versions, platform, arch }: Machine = process): void {
  const [major = 0, minor = 0] = versions.node.split('.').map(Number);
  if (major < oldestNode.major || (major === oldestNode.major && minor < oldestNode.minor)) {
    const oldest = `${oldestNode.major}.${oldestNode.minor}`;
    throw new GrokError(`grok-run needs Node ${oldest} or newer, and this is Node ${versions.node}`, {
      code: 'GROK_UNSUPPORTED',
      hint: 'Install a newer Node.',
    });
  }
  if (platform !== 'linux' || !['x64', 'arm64'].includes(arch)) {
    const container = platform === 'win32' ? 'WSL 2 or a Linux container' : 'a Linux container or virtual machine';
    throw new GrokError(`grok-run runs on Linux (x64 or arm64, glibc), and this is ${platform} ${arch}`, {
      code: 'GROK_NO_BINARY',
      hint: platform === 'linux' ? 'Use a machine with x64 or arm64.' : `Use ${container}.`,
    });
  }
}
