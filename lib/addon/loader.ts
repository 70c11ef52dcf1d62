import { createRequire } from 'node:module';
import { GrokError } from '../errors.js';
import { packageRoot } from '../package-root.js';
import { fromNative } from './calls.js';
import { checkAddonFile, fixFor } from './load-fix.js';
import type { NativeAddon } from './types.js';

/** Loads the .node file. No other file of lib/ accesses it. */

interface AddonLoader {
  resolve(directory: string): string;
}

export function addonLoader(): AddonLoader {
  if (packageRoot === '') throw new Error('a bundler has moved its code away from its files');
  return createRequire(import.meta.url)('node-gyp-build') as AddonLoader;
}

let loadedAddon: NativeAddon | undefined;

/** Loads the addon at the first call, so that the library can be imported on machines without a binary. */
export function loadNative(): NativeAddon {
  loadedAddon ??= loadFrom(packageRoot);
  return loadedAddon;
}

/** Exported for its test. `directory` is searched like node-gyp-build does: build/Release first, then prebuilds/. */
export function loadFrom(directory: string): NativeAddon {
  let file: string | undefined;
  try {
    file = addonLoader().resolve(directory);
    checkAddonFile(file);
    return createRequire(import.meta.url)(file) as NativeAddon;
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

/** "glibc 2.36", "musl", or "no glibc" on other systems than Linux. */
function libcOfThisProcess(): string {
  if (process.platform !== 'linux') return 'no glibc';
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  const glibc = report?.header?.glibcVersionRuntime;
  return glibc ? `glibc ${glibc}` : 'musl';
}
