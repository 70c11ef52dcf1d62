import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Whether the module of that URL is the script that node was started with. */
export function isMain(url) {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(url);
}
