import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readElfHeader } from './elf.js';

/** The failure of loading the addon. */
export interface AddonFailure {
  readonly error: unknown;
  /** The package's directory; '' in a bundle. */
  readonly directory: string;
  /** The .node file; undefined if none was found. */
  readonly file: string | undefined;
  readonly libc: string;
}

/**
 * Throws for a file that would crash this process when loaded: a truncated one, or one that is not a shared library.
 */
export function checkAddonFile(file: string): void {
  const header = readElfHeader(file);
  if (!header) throw new Error(`${file}: expected a shared library, found another file`);
  const { arch, fileBytes, expectedBytes } = header;
  if (arch !== process.arch) throw new Error(`${file}: expected a binary for ${process.arch}, found one for ${arch}`);
  if (fileBytes < expectedBytes) throw new Error(`${file}: expected ${expectedBytes} bytes, found ${fileBytes}`);
}

export const BUNDLE_FIX =
  'In a bundled application, mark grok-run as external, and install it beside the bundle ' +
  "(Next.js: `serverExternalPackages: ['grok-run']`).";

/** The hint for a failure. */
export function fixFor({ error, directory, file, libc }: AddonFailure): string {
  const { code, message = '' } = error as { code?: string; message?: string };
  if (code === 'ERR_DLOPEN_DISABLED' && process.permission) {
    return 'Start Node with --allow-addons beside --permission; --allow-worker lets long texts be encoded.';
  }
  if (code === 'ERR_DLOPEN_DISABLED') return 'Start Node without --no-addons (look in NODE_OPTIONS, too).';
  if (process.permission && !process.permission.has('fs.read', directory)) {
    return `Start Node with --allow-fs-read=${directory} beside --permission.`;
  }
  if (code === 'ERR_ACCESS_DENIED') {
    const { resource = directory } = error as { resource?: string };
    return `Start Node with --allow-fs-read=${resource} beside --permission, or allow to read all (--allow-fs-read=*).`;
  }
  if (libc === 'musl') return 'grok-run runs on Linux with glibc: use such a machine or container, such as Debian 12.';
  if (directory === '' || !existsSync(join(directory, 'package.json'))) {
    return BUNDLE_FIX;
  }
  const misleading = misleadingVariable();
  if (misleading && (!file || /expected a binary for/.test(message))) {
    return `Unset ${misleading}: it makes node-gyp-build look for another binary.`;
  }
  const script = join(directory, 'scripts', 'build-native.mjs');
  const build = `build it with \`node ${script}\` (Debian packages: cmake, g++, make)`;
  if (!file) return `Install grok-run on this machine again, or ${build}.`;

  const oldLibrary = /version `(GLIBC|GLIBCXX|CXXABI)_/.exec(message)?.[1];
  if (oldLibrary) {
    const library = oldLibrary === 'GLIBC' ? 'glibc' : 'libstdc++';
    return `The binary needs a newer ${library}: use a newer system, such as Debian 12, or ${build}.`;
  }
  const missingLibrary = /^(lib[^:/]+): cannot open shared object file/.exec(message)?.[1];
  if (missingLibrary) return `Install the package that has ${missingLibrary}, such as libstdc++6 on Debian.`;
  if (/permission denied/i.test(message)) return `Give this user permission to read ${file}.`;
  if (/failed to map segment/.test(message)) {
    return isOnNoexecMount(file)
      ? `${dirname(file)} is mounted noexec: install grok-run on another file system, or mount this one with exec.`
      : 'Raise the limit on address space (`ulimit -v`).';
  }
  return `The binary is damaged or not for this machine: install grok-run again, or ${build}.`;
}

/** A variable by which node-gyp-build looks for the binary of another kind of machine, or in another place. */
function misleadingVariable(): string | undefined {
  const { env } = process;
  const own: Record<string, string> = {
    npm_config_arch: process.arch,
    npm_config_platform: process.platform,
    LIBC: 'glibc',
  };
  const others = Object.keys(own).filter((name) => env[name] && env[name] !== own[name]);
  return [...others, ...['PREBUILDS_ONLY', 'GROK_RUN_PREBUILD'].filter((name) => env[name])][0];
}

/** Source: man 5 proc_pid_mountinfo. "30 24 0:26 /root /mount/point rw,noexec shared:9 - tmpfs none rw" */
function isOnNoexecMount(file: string): boolean {
  try {
    const path = realpathSync(file);
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' '))
      .filter(([, , , , point = '/']) => `${path}/`.startsWith(point === '/' ? '/' : `${point}/`));
    // The longest mount point is the nearest; of two mounts on one point, the later hides the other.
    const nearest = mounts.reduce((best, mount) => ((mount[4] ?? '').length >= (best[4] ?? '').length ? mount : best));
    return (nearest[5] ?? '').split(',').includes('noexec');
  } catch {
    return false; // no /proc: unknown
  }
}
