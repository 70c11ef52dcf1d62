import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Manifest {
  name?: string;
  version?: string;
}

const found = findPackage();

/** The package's own directory; '' in a bundle for CommonJS, whose code has no URL. */
export const packageRoot = found.directory;

/** The version of this package. */
export const version: string = found.version ?? 'unknown';

/**
 * This file runs from lib/ in tests and from dist/lib/ after a build. In a bundle, no directory above it is grok-run's.
 */
function findPackage(): { directory: string; version?: string | undefined } {
  const url: string | undefined = import.meta.url; // bundlers replace exactly this expression
  if (!url?.startsWith('file:')) return { directory: '' };
  const start = dirname(fileURLToPath(url));
  for (let directory = start; ; directory = dirname(directory)) {
    const manifest = readManifest(directory);
    if (manifest?.name === 'grok-run') return { directory, version: manifest.version };
    if (dirname(directory) === directory) return { directory: start };
  }
}

function readManifest(directory: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest;
  } catch {
    return undefined; // no package.json here: look one level up
  }
}
