import type { Abort } from '../abort.js';
import type { NativeOutput, NativeRequest } from '../addon/types.js';
import type { StepLoop } from './step-loop.js';

/** Runs a request to its end, and passes each output to the caller. */
export async function runToEnd(
  loop: StepLoop,
  request: NativeRequest,
  signal: Abort | undefined,
  accept: (output: NativeOutput) => void,
): Promise<void> {
  signal?.throwIfAborted();
  let stopListening: (() => void) | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const listener = {
        wantsTokens: () => true,
        unreadSince: () => undefined,
        accept: (output: NativeOutput) => {
          accept(output);
          if (output.finish !== 'no') resolve();
        },
        fail: reject,
      };
      loop.add(listener);
      loop.submit(listener, request);
      stopListening = signal?.listen((reason) => {
        reject(reason);
        loop.remove(listener);
      });
    });
  } finally {
    stopListening?.();
  }
}
