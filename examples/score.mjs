// Tells which of several endings of a text the model finds likeliest.
//
//   npm install grok-run
//   node score.mjs "The little fox ran into the" " forest." " spreadsheet."
import { Grok } from 'grok-run';

const [prompt = 'The little fox ran into the', ...given] = process.argv.slice(2);
const endings = given.length > 0 ? given : [' forest.', ' spreadsheet.'];

const grok = await Grok.load(process.env.GROK_RUN_MODEL || undefined);
try {
  // An array of texts is scored together, and the result is in its order.
  const scored = await grok.score(endings.map((ending) => prompt + ending));
  const results = scored.map((tokens, index) => {
    // Only the tokens of the ending count. `start` is the place of a token in the text.
    const own = tokens.filter(({ start }) => start >= prompt.length);
    const total = own.reduce((sum, { logprob }) => sum + logprob, 0);
    return { ending: endings[index], total, perToken: total / own.length };
  });
  results.sort((a, b) => b.perToken - a.perToken);
  for (const { ending, total, perToken } of results) {
    console.log(`${perToken.toFixed(3)} a token, ${total.toFixed(3)} in all: ${JSON.stringify(ending)}`);
  }
} finally {
  await grok.close();
}
