import { describe, expect, it } from 'vitest';
import { checkMessages } from '../../../lib/chat/messages.js';

const user = { role: 'user', content: 'Hi' };
const assistant = { role: 'assistant', content: 'Hello' };
const system = { role: 'system', content: 'Be kind.' };

describe('messages', () => {
  it.each<[string, unknown, string]>([
    ['that are undefined', undefined, 'Expected `messages` to be an array of messages, found undefined'],
    ['in a text', 'Hi', 'Expected `messages` to be an array'],
    ['in an object', { 0: user, length: 1 }, 'Expected `messages` to be an array'],
    ['without any', [], 'Expected `messages` to be one message of the user at least, found an array of 0'],
    ['with the system alone', [system], 'one message of the user at least'],
    ['with a hole', [user, undefined], '`messages[1]` to be an object with `role` and `content`, found undefined'],
    ['that are texts', ['Hi'], '`messages[0]` to be an object'],
    ['that are arrays', [['user', 'Hi']], '`messages[0]` to be an object'],
    [
      'without a role',
      [{ content: 'Hi' }],
      "`messages[0].role` to be 'system', 'user' or 'assistant', found undefined",
    ],
    ['with an unknown role', [{ role: 'tool', content: 'Hi' }], "'system', 'user' or 'assistant', found \"tool\""],
    ['with a role in capitals', [{ role: 'User', content: 'Hi' }], 'found "User"'],
    ['with a role that objects inherit', [{ role: 'constructor', content: 'Hi' }], 'found "constructor"'],
    [
      'with a system message at the end',
      [user, system],
      "`messages[1].role` to be 'user' or 'assistant' after the first",
    ],
    ['with two system messages', [system, system, user], '`messages[1].role`'],
    [
      'that end with the assistant',
      [user, assistant],
      "`messages[1].role` to be 'user', because the last one is answered",
    ],
    ['without content', [{ role: 'user' }], '`messages[0].content` to be a text or an array of texts, found undefined'],
    ['with the content null', [{ role: 'user', content: null }], 'found null'],
    ['with a number as content', [{ role: 'user', content: 5 }], 'found 5 (number)'],
    ['with an object as content', [{ role: 'user', content: { type: 'text', text: 'Hi' } }], 'found an object'],
    ['with texts that are no parts', [{ role: 'user', content: ['Hi'] }], '`messages[0].content[0]` to be an object'],
    ['with an image', [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }], "[0].type` to be 'text'"],
    ['with a part without text', [{ role: 'user', content: [{ type: 'text' }] }], '[0].text` to be a text'],
    ['with half of a pair', [{ role: 'user', content: 'a\ud800' }], 'Expected `messages[0].content` to be well-formed'],
    [
      'with half of a pair in a part',
      [{ role: 'user', content: [{ type: 'text', text: '\udc00' }] }],
      'content[0].text`',
    ],
    [
      'with tool calls',
      [{ ...user, tool_calls: [] }],
      '`messages[0].tool_calls` to be left out beside `role` and `content`',
    ],
    ['with a name', [{ ...user, name: 'Ada' }], '`messages[0].name` to be left out'],
  ])('%s are refused', (_, messages, message) => {
    expect(() => checkMessages(messages)).toThrow(
      expect.objectContaining({ code: 'GROK_INVALID_ARGUMENT', message: expect.stringContaining(message) }),
    );
  });

  it('form turns, each of which begins with the user', () => {
    const { turns } = checkMessages([assistant, user, user, assistant, assistant, user]);
    expect(turns.map((turn) => turn.map(({ role }) => role))).toEqual([
      ['assistant'],
      ['user'],
      ['user', 'assistant', 'assistant'],
      ['user'],
    ]);
  });

  it('lose the white space around their content, and an empty system message', () => {
    const messages = [
      { role: 'system', content: ' \n' },
      { role: 'user', content: '\n a\n\n b \u3000\n' },
    ];
    expect(checkMessages(messages)).toEqual({ system: undefined, turns: [[{ role: 'user', content: 'a\n\n b' }]] });
  });

  it('may have content in parts, and fields without a value', () => {
    const content = [
      { type: 'text', text: 'a' },
      { type: 'text', text: 'b' },
    ];
    const { turns } = checkMessages([{ role: 'user', content, name: undefined, refusal: null }]);
    expect(turns).toEqual([[{ role: 'user', content: 'a\nb' }]]);
  });

  it('are copied: later changes have no effect', () => {
    const message = { role: 'user', content: 'before' };
    const { turns } = checkMessages([message]);
    message.content = 'after';
    expect(turns[0]?.[0]?.content).toBe('before');
  });
});
