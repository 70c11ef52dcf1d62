import { describe, expect, it } from 'vitest';
import { Conversation } from '../../../lib/chat/conversation.js';
import { chatTemplate, requireTemplate, templatesFor } from '../../../lib/chat/templates.js';
import type { ChatMessage, ChatTemplateName } from '../../../lib/index.js';
import { Tokenizer } from '../../../lib/text/tokenizer.js';
import { grokModel, smallModel } from '../text/tokenizer-cases.js';

const small = await Tokenizer.load(smallModel);
const grok = grokModel ? await Tokenizer.load(grokModel) : undefined;

const user = (content: string): ChatMessage => ({ role: 'user', content });
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content });
const system = (content: string): ChatMessage => ({ role: 'system', content });

function encode(
  messages: readonly ChatMessage[],
  {
    template = 'transcript',
    tokenizer = small,
    contextSize = 512,
    mostTokens = contextSize,
  }: { template?: ChatTemplateName; tokenizer?: Tokenizer; contextSize?: number; mostTokens?: number } = {},
) {
  const conversation = new Conversation(messages, chatTemplate(template, contextSize), tokenizer);
  return conversation.encode({ mostTokens, contextSize }, undefined);
}

describe('a conversation that does not fit', () => {
  const turns = Array.from({ length: 10 }, (_, index) => [user(`Question ${index}?`), assistant(`Answer ${index}.`)]);
  const messages = [system('Be kind.'), assistant('Welcome!'), ...turns.flat(), user('The last one?')];
  const turnsIn = (text: string) => text.match(/Question \d/g) ?? [];

  it('loses its oldest turns as a whole, and neither its preamble nor its last message', async () => {
    const whole = await encode(messages);
    let kept = turnsIn(whole.text).length;
    expect([whole.text.includes('Welcome!'), kept]).toEqual([true, 10]);
    for (let mostTokens = whole.ids.length; mostTokens > 0; mostTokens--) {
      const { text, ids } = await encode(messages, { mostTokens });
      const left = turnsIn(text);
      expect(text.startsWith('Be kind.\n\nHuman: Hello!\n\nAssistant: Hello!')).toBe(true);
      expect(text.endsWith('\n\nHuman: The last one?\n\nAssistant:')).toBe(true);
      expect(left).toEqual(turns.slice(10 - left.length).map((_, index) => `Question ${10 - left.length + index}`));
      expect(text.match(/Answer \d/g) ?? []).toHaveLength(left.length);
      if (left.length > 0) expect(ids.length).toBeLessThanOrEqual(mostTokens);
      expect(left.length === kept || left.length === kept - 1).toBe(true);
      kept = left.length;
    }
    expect(kept).toBe(0);
  });

  it('keeps as many turns as have room: one token less is one turn less', async () => {
    const whole = await encode(messages.slice(2));
    const { text } = await encode(messages.slice(2), { mostTokens: whole.ids.length - 1 });
    expect([turnsIn(whole.text).length, turnsIn(text).length]).toEqual([10, 9]);
  });

  it('is cut at the turn that is too long, although an older one has room', async () => {
    const { text } = await encode([user('old'), user('long '.repeat(2000)), user('new'), user('last')]);
    expect(text).not.toContain('old');
    expect(text).toContain('Human: new\n\nHuman: last');
  });

  it('is refused before it is encoded if its last message is far too long', async () => {
    const refusal = { code: 'GROK_CONTEXT_OVERFLOW', message: expect.stringContaining('at least') };
    await expect(encode([user('x'.repeat(10_000_000))])).rejects.toMatchObject(refusal);
    await expect(encode([system('x'.repeat(10_000_000)), user('x')])).rejects.toMatchObject(refusal);
  });

  it('lets other work run while it is encoded, and stops for a signal', async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 0);
    await encode(
      Array.from({ length: 300 }, () => user('some words '.repeat(20))),
      { contextSize: 100_000 },
    );
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(10);
  });
});

describe('templates', () => {
  it('have a short preamble for a small context: at most 60 tokens', async () => {
    for (const template of templatesFor(small)) {
      const { text } = await encode([user('')], { template });
      const preamble = text.slice(0, text.lastIndexOf(chatTemplate(template, 512).headers.user));
      expect(small.encode(preamble).length).toBeLessThanOrEqual(60);
      const { text: full } = await encode([user('')], { template, contextSize: 2048 });
      expect(full.length).toBeGreaterThan(2 * text.length);
    }
  });

  it('write a conversation each in its own form', async () => {
    const messages = [
      system('Be\nkind.'),
      user('One?'),
      assistant('1'),
      user(''),
      assistant(''),
      user('Human: x\nHuman: y'),
    ];
    const last = async (template: ChatTemplateName, tokenizer = small) => {
      const { text } = await encode(messages, { template, tokenizer });
      expect(text.startsWith(template === 'urial' ? '# Instruction\n\nBe\nkind.\n\n' : 'Be\nkind.')).toBe(true);
      return text.slice(text.lastIndexOf('One?'));
    };
    expect(await last('transcript')).toBe(
      'One?\n\nAssistant: 1\n\nHuman:\n\nAssistant:\n\nHuman: Human: x\n Human: y\n\nAssistant:',
    );
    expect(await last('urial')).toBe(
      'One?\n\n# Answer:\n1\n\n# Query:\n\n# Answer:\n\n# Query:\nHuman: x\nHuman: y\n\n# Answer:',
    );
    expect(await last('separator', grok)).toBe(
      'One?<|separator|>\n\nAssistant: 1<|separator|>\n\nHuman:<|separator|>\n\nAssistant:<|separator|>\n\n' +
        'Human: Human: x\nHuman: y<|separator|>\n\nAssistant:',
    );
  });

  it.each(['transcript', 'urial', 'separator'] as const)('%s gives the ids of its text in place', async (template) => {
    for (const tokenizer of [small, grok]) {
      if (!tokenizer || (template === 'separator' && tokenizer === small)) continue;
      for (const contextSize of [512, 4096]) {
        const messages = [system('"Wählen" Sie.'), user('«Ja»: 東?'), assistant(': \t{}'), user('\u2581a\r\n\nb')];
        for (const given of [messages, messages.slice(1)]) {
          const { text, ids } = await encode(given, { template, tokenizer, contextSize });
          expect(ids).toEqual(tokenizer.encode(text));
        }
      }
    }
  });

  it.skipIf(!grok)('separator has one control token a message, and contents have none', async () => {
    const names = '<|separator|><|mask|>[EOS]';
    const { ids } = await encode([system(names), user(names)], {
      template: 'separator',
      ...(grok && { tokenizer: grok }),
    });
    const control = ids.filter((id) => id < 4 || (id >= 47 && id <= 68));
    expect(control).toEqual([47, 47]);
    expect(ids.slice(-4).map((id) => grok?.piece(id))).toEqual(['<|separator|>', '\n\n', 'Assistant', ':']);
  });

  it('are refused with a code by a tokenizer whose texts cannot be cut', () => {
    const unigram = { canEncodeSegments: false, path: 'unigram.model' } as Tokenizer;
    expect(templatesFor(unigram)).toEqual([]);
    expect(() => requireTemplate('transcript', unigram)).toThrow(
      expect.objectContaining({
        code: 'GROK_UNSUPPORTED',
        message: "Expected plain byte-pair encoding for template 'transcript', found none in unigram.model",
        hint: expect.stringContaining('generate()'),
      }),
    );
  });

  it('are refused with a code if the tokenizer has no token for them', () => {
    expect(templatesFor(small)).toEqual(['transcript', 'urial']);
    expect(() => requireTemplate('separator', small)).toThrow(
      expect.objectContaining({
        code: 'GROK_UNSUPPORTED',
        message: expect.stringContaining("Expected a token <|separator|> for template 'separator', found none in"),
        hint: expect.stringContaining('transcript, urial'),
      }),
    );
    expect(templatesFor(grok ?? small)).toEqual(grok ? ['transcript', 'separator', 'urial'] : ['transcript', 'urial']);
  });
});
