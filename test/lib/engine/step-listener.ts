import type { NativeOutput, NativeRequest } from '../../../lib/addon/types.js';
import { scoringRequest } from '../../../lib/engine/native-request.js';
import type { StepListener, StepLoop } from '../../../lib/engine/step-loop.js';

/** Records the outputs and the error that a step loop gives it. */
export class Listener {
  wanted = true;
  unread: number | undefined;
  readonly outputs: NativeOutput[] = [];
  error: unknown;
  wantsTokens = () => this.wanted;
  unreadSince = () => this.unread;
  accept = (output: NativeOutput) => void this.outputs.push(output);
  fail = (error: unknown) => {
    this.error = error;
  };

  get ended(): boolean {
    return this.outputs.at(-1)?.finish === 'length';
  }
}

export const request = (maxTokens: number, promptTokens = 3) => ({
  ...scoringRequest(new Array<number>(promptTokens).fill(300), 'logprobs'),
  maxTokens,
});

export function start(loop: StepLoop, wanted: NativeRequest, listener: StepListener): void {
  loop.add(listener);
  loop.submit(listener, wanted);
}
