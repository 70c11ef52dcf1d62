import { GrokError } from '../../errors.js';

// Missing from Node's types.
const { WebAssembly } = globalThis as { WebAssembly?: { Memory: new (options: { initial: number }) => object } };

/** Initial memory of the SentencePiece library, in pages of 64 KiB. */
const INITIAL_PAGES = 256;

/**
 * Throws unless WebAssembly, which runs the SentencePiece library, can allocate memory. The library itself would print
 * before it throws, and blame the tokenizer's file.
 *
 * @throws {GrokError} GROK_OUT_OF_MEMORY, GROK_UNSUPPORTED
 */
export function requireWasmMemory(): void {
  if (!WebAssembly) {
    throw new GrokError('Expected WebAssembly, which the tokenizer runs in, found a Node without it', {
      code: 'GROK_UNSUPPORTED',
      hint: 'Start Node without --jitless and --no-expose-wasm (look in NODE_OPTIONS, too).',
    });
  }
  try {
    new Function(); // the library creates functions from text
  } catch (error) {
    throw new GrokError(
      `Expected code generation from strings, which the tokenizer needs: ${(error as Error).message}`,
      {
        code: 'GROK_UNSUPPORTED',
        hint: 'Start Node without --disallow-code-generation-from-strings (look in NODE_OPTIONS, too).',
        cause: error,
      },
    );
  }
  try {
    new WebAssembly.Memory({ initial: INITIAL_PAGES });
  } catch (error) {
    throw noWasmMemory(error as Error);
  }
}

/** Whether the library failed for lack of memory, although the check had succeeded. */
export function isOutOfMemory(error: unknown): error is Error {
  return error instanceof Error && /out of memory|could not allocate/i.test(error.message);
}

export function noWasmMemory(cause: Error): GrokError {
  return new GrokError(
    `Expected 10 GB of address space for WebAssembly, which the tokenizer runs in: ${cause.message}`,
    {
      code: 'GROK_OUT_OF_MEMORY',
      hint:
        'Raise the limit on address space (`ulimit -v`), or start Node with --disable-wasm-trap-handler ' +
        '(NODE_OPTIONS takes it, too): WebAssembly then reserves no more than it uses.',
      cause,
    },
  );
}
