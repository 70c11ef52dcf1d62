// What each side is given to do: the same tokens, the same number of them.

/** Room for the longest prompt that is measured and its continuation. */
export const CONTEXT = 1024;

/** Tokens before those that are decoded. */
export const PROMPT_TOKENS = 16;

/** Below are control and byte pieces. */
export const FIRST_ORDINARY_ID = 300;

/** Ids from all over the vocabulary, others in each repeat. */
export function spreadIds(count, repeat, vocabSize) {
  const spread = vocabSize - FIRST_ORDINARY_ID;
  return Array.from({ length: count }, (_, i) => FIRST_ORDINARY_ID + ((i * 7919 + repeat * 104729) % spread));
}

/** The second of two runs: the first is the warm-up, which touches all that the second will. */
export async function secondOf(run) {
  await run(0);
  return await run(1);
}

export function tokensPerSecond(tokens, milliseconds) {
  return (tokens * 1000) / milliseconds;
}
