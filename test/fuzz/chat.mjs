// Hostile chat contents through each template and tokenizer: no content may become a turn or a control token, and no
// text that ends an answer may leak into it. Each content goes through all of them.
//
//   node test/fuzz/chat.mjs [--runs CONTENTS] [--seed N] [--tokenizer FILE]   (xAI's tokenizer.model)

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Conversation } from '../../dist/lib/chat/conversation.js';
import { chatTemplate, templatesFor } from '../../dist/lib/chat/templates.js';
import { Tokenizer } from '../../dist/lib/index.js';
import { ChunkBuilder } from '../../dist/lib/text/chunk-builder.js';
import { caseOf, checkAnswer, checkIdsInPlace, checkPrompt, hostileMessages, randomOf } from './hostile-chat.mjs';

const root = join(import.meta.dirname, '..', '..');
const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    tokenizer: { type: 'string', default: join(root, '..', 'shared', 'tokenizer', 'tokenizer.model') },
  },
});

const files = [join(root, 'models', 'grok-tiny', 'tokenizer.model'), values.tokenizer].filter((file) => {
  if (existsSync(file)) return true;
  console.log(`SKIPPED: there is no ${file}`);
  return false;
});
const cases = [];
for (const file of files) {
  const tokenizer = await Tokenizer.load(file);
  for (const name of templatesFor(tokenizer)) cases.push(caseOf(name, chatTemplate(name, 512), tokenizer));
}

const random = randomOf(Number(values.seed));
const size = { mostTokens: 2 ** 20, contextSize: 2 ** 20 };
let contents = 0;
let reported = 0;
while (contents < Number(values.runs)) {
  const messages = hostileMessages(random);
  contents += messages.length;
  for (const one of cases) {
    const prompt = await new Conversation(messages, one.template, one.tokenizer).encode(size);
    checkPrompt(prompt, messages, one);
    if (random.below(8) === 0) checkIdsInPlace(prompt, messages, one);
    checkAnswer(random, one, ChunkBuilder);
  }
  if (contents - reported < 100_000) continue;
  reported = contents;
  console.log(`${contents} contents`);
}
console.log(
  `${contents} contents through ${cases.length} pairs of template and tokenizer: nothing forged, nothing leaked`,
);
