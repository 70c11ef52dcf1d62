import type { Readable, Writable } from 'node:stream';
import type * as library from '../lib/index.js';

/** The part of the public library that the commands call. */
export type Library = Pick<
  typeof library,
  'Grok' | 'Tokenizer' | 'inspect' | 'plan' | 'diagnose' | 'benchmark' | 'verify' | 'report' | 'version'
>;

/** The program's dependencies: the library and the process. Tests pass their own. */
export interface Host {
  readonly library: Library;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
}
