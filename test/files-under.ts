import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Paths of the files under `folder` whose path matches. */
export function filesUnder(folder: string, name: RegExp): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((file) => join(folder, file))
    .filter((file) => name.test(file));
}
