import { readFileSync } from 'node:fs';
import module from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface FoundPackage {
  readonly directory: string;
  readonly version?: string | undefined;
}

/** The part of Node's `require` that is used. Made by `module.createRequire`, because webpack removes `createRequire`. */
interface PackageRequire {
  (id: string): unknown;
  resolve(id: string): string;
}

const found = findPackage();

/** The package's own directory; '' in a bundle that has no installed package near it. */
export const packageRoot = found?.directory ?? '';

/** The version of this package. */
export const version: string = found?.version ?? 'unknown';

/**
 * A `require` for the addon and for the packages that this one depends on.
 * @throws {Error} in a bundle that has no installed package near it
 */
export function requireFromPackage(): PackageRequire {
  if (packageRoot === '') throw new Error('a bundler has moved its code away from its files');
  return module.createRequire(join(packageRoot, 'package.json'));
}

/**
 * Never called. File tracers, such as that of Next.js, copy what a program's text names in this form, also in an ES module.
 * Bundlers leave it alone, but would look for a module at `new URL('../../prebuilds/', import.meta.url)`. The paths are
 * right for dist/lib/.
 */
export function tracedFiles(): unknown[] {
  const directories = [join(__dirname, '../../prebuilds/'), join(__dirname, '../../models/grok-tiny/')];
  return [...directories, import('node-gyp-build'), import('@agnai/sentencepiece-js')];
}

/**
 * The directory above this file, which lies in lib/ in tests and in dist/lib/ after a build. In a bundle it is the package
 * that is installed for the bundle's file or for the program's main file. The current directory is not searched, because a
 * program may run in a directory of somebody else.
 */
function findPackage(): FoundPackage | undefined {
  const ownFile = fileOf(import.meta.url); // bundlers replace exactly this expression
  const files = [ownFile, commonJsFile(), process.argv[1]];
  for (const file of files) {
    const package_ = file && (packageAbove(file) ?? packageInstalledFor(file));
    if (package_) return package_;
  }
  return undefined;
}

/** Not by `typeof __filename`, which webpack takes for a string in an ES module, too. */
function commonJsFile(): string | undefined {
  try {
    return __filename;
  } catch {
    return undefined;
  }
}

/** Bundles for CommonJS may have no URL, and a bundle from another machine may have a URL that is no path here. */
function fileOf(url: string | undefined): string | undefined {
  try {
    return url?.startsWith('file:') ? fileURLToPath(url) : undefined;
  } catch {
    return undefined;
  }
}

function packageAbove(file: string): FoundPackage | undefined {
  for (let directory = dirname(file); ; directory = dirname(directory)) {
    const found = packageAt(directory);
    if (found || dirname(directory) === directory) return found;
  }
}

function packageInstalledFor(file: string): FoundPackage | undefined {
  try {
    return packageAt(dirname(module.createRequire(file).resolve('grok-run/package.json')));
  } catch {
    return undefined;
  }
}

function packageAt(directory: string): FoundPackage | undefined {
  try {
    const manifest = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
    return manifest.name === 'grok-run' ? { directory, version: manifest.version } : undefined;
  } catch {
    return undefined;
  }
}
