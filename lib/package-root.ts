import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Manifest {
  name?: string;
  version?: string;
}

/** The package's own directory: this file runs from lib/ in tests and from dist/lib/ once built. */
export const packageRoot = findPackageRoot();

/** The version of this package. */
export const version: string = readManifest(packageRoot)?.version ?? 'unknown';

function findPackageRoot(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let directory = start; ; directory = dirname(directory)) {
    if (readManifest(directory)?.name === 'grok-run') return directory;
    if (dirname(directory) === directory) return start;
  }
}

function readManifest(directory: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest;
  } catch {
    return undefined; // no package.json here: look one level up
  }
}
