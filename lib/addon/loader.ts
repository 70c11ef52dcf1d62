import { GrokError } from '../errors.js';
import { packageRoot, requireFromPackage } from '../package-root.js';
import { fromNative } from './calls.js';
import { checkAddonFile, fixFor } from './load-fix.js';
import { requireSupportedMachine } from './machine.js';
import type { NativeAddon } from './types.js';

/** Loads the .node file. No other file of lib/ accesses it. */

let loadedAddon: NativeAddon | undefined;

/** Loads the addon at the first call, so that the library can be imported on machines without a binary. */
export function loadNative(): NativeAddon {
  loadedAddon ??= loadFrom(packageRoot);
  return loadedAddon;
}

/** Path of the addon. It is searched in build/Release, where this machine builds it, and then in prebuilds. */
export function addonFile(directory = packageRoot): string {
  return (requireFromPackage()('node-gyp-build') as typeof import('node-gyp-build')).resolve(directory);
}

/** Exported for its test. @throws {GrokError} GROK_NO_BINARY, GROK_UNSUPPORTED */
export function loadFrom(directory: string): NativeAddon {
  requireSupportedMachine();
  let file: string | undefined;
  try {
    file = addonFile(directory);
    checkAddonFile(file);
    return requireFromPackage()(file) as NativeAddon;
  } catch (error) {
    const known = fromNative(error);
    if (known instanceof GrokError) throw known; // the addon was found, but failed to start
    const loaderSays = error instanceof Error ? error.message.trim() : String(error);
    const details = {
      platform: process.platform,
      arch: process.arch,
      libc: libcOfThisProcess(),
      node: process.version,
      directory,
      loader: loaderSays,
    };
    const machine = `${details.platform}-${details.arch}, ${details.libc}, Node ${details.node}`;
    throw new GrokError(`The native part of grok-run cannot be loaded on ${machine}: ${loaderSays}`, {
      code: 'GROK_NO_BINARY',
      hint: fixFor({ error, directory, file, libc: details.libc }),
      details,
      cause: error,
    });
  }
}

/** "glibc 2.36" or "musl". */
function libcOfThisProcess(): string {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  const glibc = report?.header?.glibcVersionRuntime;
  return glibc ? `glibc ${glibc}` : 'musl';
}
