import { expect, it } from 'vitest';
import { Conversation } from '../../../lib/chat/conversation.js';
import { chatTemplate, templatesFor } from '../../../lib/chat/templates.js';
import { ChunkBuilder } from '../../../lib/text/chunk-builder.js';
import { Tokenizer } from '../../../lib/text/tokenizer.js';
import {
  caseOf,
  checkAnswer,
  checkIdsInPlace,
  checkPrompt,
  hostileMessages,
  randomOf,
} from '../../fuzz/hostile-chat.mjs';
import { grokModel, smallModel } from '../text/tokenizer-cases.js';

const numContents = 20_000;
const size = { mostTokens: 2 ** 20, contextSize: 2 ** 20 };

// test/fuzz/chat.mjs runs as many as one likes.
it(`keeps ${numContents} hostile contents from becoming a turn, a control token or the end of an answer`, async () => {
  const cases = [];
  for (const file of grokModel ? [smallModel, grokModel] : [smallModel]) {
    const tokenizer = await Tokenizer.load(file);
    for (const name of templatesFor(tokenizer)) cases.push(caseOf(name, chatTemplate(name, 512), tokenizer));
  }
  expect(cases).toHaveLength(grokModel ? 5 : 2);

  const random = randomOf(20261201);
  for (let contents = 0; contents < numContents; ) {
    const messages = hostileMessages(random);
    for (const one of cases) {
      const prompt = await new Conversation(messages, one.template, one.tokenizer).encode(size, undefined);
      checkPrompt(prompt, messages, one);
      checkIdsInPlace(prompt, messages, one);
      checkAnswer(random, one, ChunkBuilder);
      contents += messages.length;
    }
  }
}, 180_000); // some seconds alone, more beside a build
