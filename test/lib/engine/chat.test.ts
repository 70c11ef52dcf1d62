import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ChatMessage, Grok } from '../../../lib/index.js';
import { withoutTokenizer } from '../checkpoints.js';
import { canRun, trained } from './trained-model.js';

describe.skipIf(!canRun)('a chat', () => {
  let grok: Grok;
  const messages: readonly ChatMessage[] = [{ role: 'user', content: 'Tell me a story about a fox.' }];

  beforeAll(async () => {
    grok = await Grok.load(trained);
  });

  afterAll(async () => {
    await grok.close();
  });

  it('refuses bad messages and options at once', async () => {
    const bad = (given: unknown, options?: object) => expect(() => grok.chat(given as ChatMessage[], options));
    bad([]).toThrow('one message of the user at least');
    bad('Hi').toThrow('`messages` to be an array of messages');
    bad([{ role: 'assistant', content: 'Hi' }]).toThrow("`messages[0].role` to be 'user'");
    bad(messages, { template: 'chatml' }).toThrow(
      "`template` to be 'transcript', 'separator' or 'urial', found \"chatml\"",
    );
    bad(messages, { template: null }).toThrow('`template`');
    bad(messages, { templat: 'urial' }).toThrow(expect.objectContaining({ hint: 'Did you mean `template`?' }));
    bad(messages, { temperature: -1 }).toThrow('`temperature`');
    bad(messages, { template: 'separator' }).toThrow(expect.objectContaining({ code: 'GROK_UNSUPPORTED' }));
    expect(() => grok.generate('Hi', { template: 'urial' } as object)).toThrow('Unknown option `template`');
    await expect(grok.chatPrompt([])).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
  });

  it('is refused if the last message leaves no room for the answer, and by both calls alike', async () => {
    const long: ChatMessage[] = [{ role: 'user', content: 'fox '.repeat(400) }];
    for (const options of [{ maxTokens: 200 }, { maxTokens: 100_000 }]) {
      const overflow = { code: 'GROK_CONTEXT_OVERFLOW', details: { maxTokens: options.maxTokens } };
      await expect(grok.chat(long, options).result).rejects.toMatchObject(overflow);
      await expect(grok.chatPrompt(long, options)).rejects.toMatchObject(overflow);
    }
    const { usage } = await grok.chat(long, { temperature: 0 }).result;
    expect(usage.promptTokens).toBeGreaterThan(400);
  });

  it('rejects for a signal, as a generation does', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(grok.chat(messages, { signal }).result).rejects.toThrow('enough');
    await expect(grok.chatPrompt(messages, { signal })).rejects.toThrow('enough');
  });

  it('needs a tokenizer', async () => {
    await using other = await Grok.load(withoutTokenizer);
    expect(other.info.chat).toMatchObject({ templates: [], default: 'transcript' });
    expect(() => other.chat(messages)).toThrow(expect.objectContaining({ code: 'GROK_NO_TOKENIZER' }));
  });

  it('says in a word that a toy cannot chat', () => {
    expect(grok.info.chat).toEqual({
      templates: ['transcript', 'urial'],
      default: 'transcript',
      note: 'This model is a toy of 11.7 million parameters. It cannot chat; it only continues texts.',
    });
  });

  it('spends at most 60 of its tokens on a template', async () => {
    for (const template of grok.info.chat.templates) {
      const { tokenIds } = await grok.chatPrompt([{ role: 'user', content: '' }], { template });
      expect(tokenIds.length).toBeLessThanOrEqual(60);
    }
  });

  it.each(['transcript', 'urial'] as const)('runs the prompt that chatPrompt gives: %s', async (template) => {
    const options = { template, stop: ['END'], maxTokens: 30, seed: 7 };
    const { text, tokenIds, stop } = await grok.chatPrompt(messages, options);
    expect(grok.tokenizer.decode(tokenIds)).toBe(text);
    expect(stop[0]).toBe('END');

    const echoed = await grok.chat(messages, { ...options, echo: true }).result;
    expect(echoed.text.startsWith(text)).toBe(true);
    expect(echoed.tokenIds.slice(0, tokenIds.length)).toEqual(tokenIds);
    const generated = await grok.complete(tokenIds, { maxTokens: 30, seed: 7, stop });
    const answer = await grok.chat(messages, options).result;
    expect(answer.tokenIds).toEqual(generated.tokenIds);
    expect(answer.text).toBe(generated.text.trimStart());
    expect(text + generated.text).toBe(echoed.text);
  });

  it('streams an answer without white space in front, stop texts or the beginning of one', async () => {
    for (let seed = 0; seed < 12; seed++) {
      const template = seed % 2 ? 'urial' : 'transcript';
      // Likely line breaks, and the roles that tend to follow them here.
      const bias = grok.tokenizer.encode('\n').at(-1) ?? 0;
      const options = { template, maxTokens: 60, seed, temperature: 1, logitBias: { [bias]: 4 } } as const;
      const generation = grok.chat(messages, options);
      let text = '';
      for await (const chunk of generation) text += chunk.text;
      const { stop } = await grok.chatPrompt(messages, options);
      const completion = await generation.result;
      expect(completion.text).toBe(text);
      expect(text).toBe(text.trimStart());
      for (const each of stop) expect(text).not.toContain(each);
    }
  });

  it('goes on for ten turns in 512 tokens', async () => {
    const history: ChatMessage[] = [{ role: 'system', content: 'A human talks with a fox.' }];
    const promptSizes: number[] = [];
    for (let turn = 0; turn < 10; turn++) {
      history.push({ role: 'user', content: `Question ${turn}: ${'what does the fox see in the wood? '.repeat(6)}` });
      const options = { maxTokens: 40, seed: turn };
      const { text, tokenIds } = await grok.chatPrompt(history, options);
      expect(text.startsWith('A human talks with a fox.')).toBe(true);
      expect(text).toContain(`Question ${turn}: `);
      const answer = await grok.chat(history, options).result;
      expect(answer.usage.promptTokens).toBe(tokenIds.length);
      expect(tokenIds.length + 40).toBeLessThanOrEqual(512);
      promptSizes.push(tokenIds.length);
      history.push({ role: 'assistant', content: answer.text });
    }
    // The context was full, and stayed nearly so.
    expect(Math.max(...promptSizes)).toBeGreaterThan(350);
    expect((await grok.chatPrompt([...history, ...messages])).text).not.toContain('Question 0');
  });

  it('leaves a quarter of the context to the answer without maxTokens', async () => {
    const history = Array.from({ length: 60 }, (): ChatMessage => ({ role: 'user', content: 'the fox and the king' }));
    const { tokenIds } = await grok.chatPrompt(history);
    expect(tokenIds.length).toBeLessThanOrEqual(512 - 128);
    expect(tokenIds.length).toBeGreaterThan(512 - 128 - 20);
  });

  it('is refused after close()', async () => {
    const closed = await Grok.load(trained);
    await closed.close();
    expect(() => closed.chat(messages)).toThrow(expect.objectContaining({ code: 'GROK_CLOSED' }));
    await expect(closed.chatPrompt(messages)).rejects.toMatchObject({ code: 'GROK_CLOSED' });
  });
});
