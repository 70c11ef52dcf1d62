import { writeSync } from 'node:fs';

/** writeSync may write less than requested: Linux stops at 2 GiB. */
export function writeAll(file, bytes) {
  for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written, bytes.length - written);
}
