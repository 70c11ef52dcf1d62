// The work of each side: the same tokens, in the same number.

/** Maximum tokens of the longest measured prompt and its continuation. */
export const CONTEXT = 1024;

/** Tokens before decoding starts. */
export const PROMPT_TOKENS = 16;

/** Lower ids are control and byte pieces. */
export const FIRST_ORDINARY_ID = 300;

/** Ids from the whole vocabulary, different in each repeat. */
export function spreadIds(count, repeat, vocabSize) {
  const spread = vocabSize - FIRST_ORDINARY_ID;
  return Array.from({ length: count }, (_, i) => FIRST_ORDINARY_ID + ((i * 7919 + repeat * 104729) % spread));
}

/** The second of two runs: the first is the warm-up, which touches the same memory. */
export async function secondOf(run) {
  await run(0);
  return await run(1);
}

export function tokensPerSecond(tokens, milliseconds) {
  return (tokens * 1000) / milliseconds;
}
