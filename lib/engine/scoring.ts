import type { Abort } from '../abort.js';
import { GrokError } from '../errors.js';
import { toLogprob, unscored } from '../text/chunk-builder.js';
import type { ScoredToken } from './completion.js';
import { scoringRequest } from './native-request.js';
import { type PromptHost, roomFor } from './prompt.js';
import { runToEnd } from './run-to-end.js';
import type { StepLoop } from './step-loop.js';

export interface ScoringHost extends PromptHost {
  readonly loop: StepLoop;
}

/** The model's logits at every position of a text. */
export interface Logits {
  /** Row-major: `data[position * vocabSize + id]`. */
  readonly data: Float32Array;
  /** [tokens, vocabSize] */
  readonly shape: [number, number];
}

const mostLogitBytes = 2 ** 31;

export async function computeLogits(
  ids: readonly number[],
  host: ScoringHost,
  signal: Abort | undefined,
): Promise<Logits> {
  roomFor(ids.length, { maxTokens: 0, otherwise: 0 }, host.contextSize);
  const sizeBytes = ids.length * host.vocabSize * Float32Array.BYTES_PER_ELEMENT;
  if (sizeBytes > mostLogitBytes) {
    throw new GrokError(
      `Expected logits of at most ${mostLogitBytes} bytes, found ${sizeBytes} (${ids.length} tokens)`,
      {
        code: 'GROK_INVALID_ARGUMENT',
        hint: `Request at most ${Math.floor((mostLogitBytes / sizeBytes) * ids.length)} tokens at once, or use score().`,
        details: { sizeBytes, mostLogitBytes },
      },
    );
  }
  const data = new Float32Array(ids.length * host.vocabSize);
  let filled = 0;
  await runToEnd(host.loop, scoringRequest(ids, 'logits'), signal, ({ logits }) => {
    if (!logits) return;
    data.set(logits, filled);
    filled += logits.length;
  });
  return { data, shape: [ids.length, host.vocabSize] };
}

export async function scoreTokens(
  ids: readonly number[],
  host: ScoringHost,
  options: { logprobs: number; signal: Abort | undefined },
): Promise<ScoredToken[]> {
  roomFor(ids.length, { maxTokens: 0, otherwise: 0 }, host.contextSize);
  const scores = [unscored(ids[0] ?? 0, host.tokenizer)];
  await runToEnd(host.loop, scoringRequest(ids, 'logprobs', options.logprobs), options.signal, ({ prompt }) => {
    for (const token of prompt) scores.push(toLogprob(token, host.tokenizer));
  });
  const places = host.tokenizer?.places(ids) ?? [];
  return scores.map((score, index) => ({ ...score, ...(places[index] ?? { start: 0, end: 0 }) }));
}
