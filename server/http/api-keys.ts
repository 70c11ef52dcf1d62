import { createHash, timingSafeEqual } from 'node:crypto';

/** The keys that clients may present. The time of a comparison tells nothing about a key. */
export class ApiKeys {
  readonly #hashes: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.#hashes = keys.map(hashOf);
  }

  get isEmpty(): boolean {
    return this.#hashes.length === 0;
  }

  /** Whether an Authorization header has one of the keys. */
  allows(authorization: string | null): boolean {
    const presented = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
    if (presented === undefined) return false;
    const hash = hashOf(presented);
    let matches = 0;
    for (const known of this.#hashes) matches |= Number(timingSafeEqual(known, hash)); // all are compared
    return matches === 1;
  }
}

function hashOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

/** The keys of a file: one a line. Empty lines and lines that begin with # do not count. */
export function parseApiKeys(text: string): string[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}
