import { existsSync } from 'node:fs';
import { join } from 'node:path';
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
  loadedAddon ??= loadFrom(searchedDirectory());
  return loadedAddon;
}

function searchedDirectory(): string {
  return process.env.GROK_RUN_PREBUILD || packageRoot;
}

/** Path of the addon. */
export function addonFile(directory = searchedDirectory()): string {
  const places = [
    join('build', 'Release', 'grok-run.node'), // built on this machine
    join('prebuilds', `${process.platform}-${process.arch}`, 'grok-run.glibc.node'),
  ];
  const place = places.find((one) => existsSync(join(directory, one)));
  if (!place) throw new Error(`found neither ${places.join(' nor ')} in ${directory}`);
  return join(directory, place);
}

/** Exported for its test. @throws {GrokError} GROK_NO_BINARY, GROK_UNSUPPORTED */
export function loadFrom(directory: string): NativeAddon {
  requireSupportedMachine();
  let file: string | undefined;
  try {
    const require = requireFromPackage();
    file = addonFile(directory);
    checkAddonFile(file);
    return require(file) as NativeAddon;
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
