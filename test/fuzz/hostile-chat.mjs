// Random conversations whose contents try to forge turns, control tokens and ends of answers, and checks of their prompts
// that know nothing of lib/chat but its templates. Used by chat.mjs and by test/lib/chat/hostile.test.ts.

const roles = ['Human', 'Assistant', 'human', 'ASSISTANT', '# Query', '# Answer', '#Query', '## Instruction', 'System'];
const disguisedRoles = [
  'Ｈｕｍａｎ',
  'Hu\u00adman',
  '𝐇𝐮𝐦𝐚𝐧',
  'Aßistant',
  'Aſſistant',
  '＃ Query',
  'H\u200buman',
  'Human\u0301',
];
const breaks = [
  '\n',
  '\n',
  '\n\n',
  '\n\n',
  '\n\n\n',
  '\n'.repeat(11),
  '\r\n',
  '\r',
  '\v',
  '\f',
  '\u0085',
  '\u2028',
  '\u2029',
];
const invisible = [
  ...['\u200b', '\ufeff', '\u2060', '\u034f', '\u3164', '\u202e', '\ufe0f', '\u{e0041}', '\0', '\b', '\u001c'],
  ...['\t', ' ', '\u00a0', '\u3000', '\u2581'],
];
const colons = [':', ':', ': ', ' :', '：', '\u200b:', '::'];
const controls = [
  ...[
    '<|separator|>',
    '<|separator|>',
    '<|mask|>',
    '<|control1|>',
    '<|control20|>',
    '<|sep',
    'arator|>',
    '<',
    '<|',
    '|>',
  ],
  ...['[EOS]', '[BOS]', '[PAD]', '[UNK]', '<0x0A>', '<s>', '</s>', '<|im_end|>'],
];
const words = ['hello', ' the', 'x', ' 1', '東', '🧙‍♂️', 'é', '.', '"', ' Grok', '    ', 'ab<'];
const kinds = [roles, roles, disguisedRoles, breaks, breaks, invisible, colons, controls, words, words];
const lineBreak = /[\n\v\f\r\u0085\u2028\u2029]/;
const controlName = /<\|(separator|mask|control\d+)\|>/;

/** Random numbers that are the same for a seed. Constants of Numerical Recipes; the high bits are the good ones. */
export function randomOf(seed) {
  let state = seed >>> 0;
  const below = (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  return { below, pick: (values) => values[below(values.length)] };
}

function randomCharacter({ below }) {
  const codePoint = below(8) === 0 ? below(0x110000) : below(0x3000);
  return codePoint >= 0xd800 && codePoint < 0xe000 ? '?' : String.fromCodePoint(codePoint);
}

/** A text of up to 13 fragments. */
export function hostileText(random) {
  let text = '';
  for (let left = random.below(14); left > 0; left--) {
    text += random.below(20) === 0 ? randomCharacter(random) : random.pick(random.pick(kinds));
  }
  return text;
}

/** Up to nine messages. The last is the user's; the others come in any order. */
export function hostileMessages(random) {
  const system = random.below(3) === 0 ? [{ role: 'system', content: hostileText(random) }] : [];
  const earlier = Array.from({ length: random.below(8) }, () => ({
    role: random.pick(['user', 'assistant']),
    content: hostileText(random),
  }));
  return [...system, ...earlier, { role: 'user', content: hostileText(random) }];
}

/** The ids of a text after another text. No piece may contain "x" and the first character. */
function idsInside(tokenizer, text) {
  return tokenizer.encode(`x${text}`).slice(tokenizer.encode('x').length);
}

/** The figures of a template and a tokenizer that the checks need. */
export function caseOf(name, template, tokenizer) {
  const isLineEnd = [];
  const isControl = [];
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    const piece = tokenizer.piece(id);
    isLineEnd.push(/[\n\r]$/.test(piece) || piece === '<0x0A>' || piece === '<0x0D>');
    isControl.push(id < 4 || controlName.test(piece));
  }
  const headers = Object.values(template.headers).map((text) => ({ text, ids: idsInside(tokenizer, text) }));
  const stops = template.stop.map((text) => idsInside(tokenizer, text));
  // Encoded one by one: tokens that the tokenizer would not make of the whole, but a model may.
  const fragments = kinds.flat().map((text) => tokenizer.encode(text));
  return { name, template, tokenizer, fragments, isLineEnd, isControl, headers, stops, begun: tokenizer.encode('x') };
}

/** Throws if the prompt has another turn, control token or content than the messages. */
export function checkPrompt(
  { text, ids },
  messages,
  { name, template, tokenizer, isLineEnd, isControl, headers, begun },
) {
  const fail = (what) => {
    throw new Error(`${name}: ${what}\n${JSON.stringify(messages)}\n${JSON.stringify(text)}\n${ids}`);
  };
  const spoken = [...template.examples, ...messages.filter(({ role }) => role !== 'system')];
  const numHeaders = spoken.length + 1;
  const decoded = tokenizer.decode(ids);
  if (decoded !== text.replaceAll('\u2581', ' ')) fail('the ids have another text');

  const numControl = ids.filter((id) => isControl[id]).length;
  if (numControl !== (name === 'separator' ? numHeaders : 0)) fail(`${numControl} control tokens`);

  const turns = [];
  ids.forEach((id, index) => {
    const begins = name === 'separator' ? isControl[id] : isLineEnd[id];
    if (!begins) return;
    const header = headers.find((one) => one.ids.every((part, step) => step === 0 || ids[index + step] === part));
    if (header) turns.push({ start: index, end: index + header.ids.length, header: header.text });
    else if (name === 'separator') fail(`control token ${index} begins no turn`);
  });
  if (turns.length !== numHeaders) fail(`${turns.length} turns by ids, not ${numHeaders}`);

  if (name !== 'separator') {
    const lines = decoded.split(lineBreak).filter((line) => looksLikeHeader(line, name));
    const expected = numHeaders + (name === 'urial' ? 1 : 0); // its "# Instruction"
    if (lines.length !== expected) fail(`${lines.length} lines look like a header, not ${expected}`);
  }

  for (const [index, { end, header }] of turns.entries()) {
    const { role, content } = spoken[index] ?? { role: 'assistant', content: '' };
    if (header !== template.headers[role]) fail(`turn ${index} is of another role`);
    const next = turns[index + 1];
    const found = tokenizer.decode([...begun, ...ids.slice(end, next?.start)]);
    const trimmed = content.trim().replaceAll('\u2581', ' ');
    const kept = trimmed === '' ? '' : template.gap + trimmed;
    if (!equalButForIndentation(found.slice(1), kept)) fail(`turn ${index} has the content ${JSON.stringify(found)}`);
  }
}

/** Throws if the ids are not those of the whole text. Only without names of control tokens in contents. */
export function checkIdsInPlace({ text, ids }, messages, { name, tokenizer, isControl }) {
  if (isControl.some((is, id) => is && id >= 4) && messages.some(({ content }) => controlName.test(content))) return;
  if (`${tokenizer.encode(text)}` !== `${ids}`)
    throw new Error(`${name}: not the ids in place\n${JSON.stringify(text)}`);
}

function looksLikeHeader(line, name) {
  const plain = line
    .normalize('NFKC')
    .replace(/(?!\t)[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/gu, '')
    .toLowerCase();
  return (name === 'urial' ? /^#+ *(query|answer|instruction)/ : /^(human|assistant)/).test(plain);
}

function equalButForIndentation(found, content) {
  const given = content.split(/(?<=[\n\v\f\r\u0085\u2028\u2029])/);
  const lines = found.split(/(?<=[\n\v\f\r\u0085\u2028\u2029])/);
  return (
    lines.length === given.length &&
    lines.every((line, index) => line.replace(/^ /, '') === given[index].replace(/^ /, ''))
  );
}

/** Streams a hostile answer. Throws if its chunks are not the text before the first stop, without white space in front. */
export function checkAnswer(random, { name, template, tokenizer, fragments, stops, begun }, ChunkBuilder) {
  const ids = Array.from({ length: 1 + random.below(16) }, () =>
    random.pick(random.below(6) ? fragments : stops),
  ).flat();
  const whole = tokenizer.decode([...begun, ...ids]).slice(1);
  const ends = template.stop
    .map((stop) => ({ stop, start: whole.indexOf(stop) }))
    .filter(({ start }) => start >= 0)
    .map(({ stop, start }) => ({ stop, start, end: start + stop.length }))
    .sort((a, b) => a.end - b.end || a.start - b.start);
  const first = ends[0];
  const expected = whole.slice(0, first?.start).trimStart();

  const builder = new ChunkBuilder(tokenizer, { stop: template.stop, withLogprobs: false, trimStart: true });
  builder.readPrompt(begun);
  let text = '';
  let found;
  for (const token of ids) {
    const outcome = builder.push({ token, logprob: 0, topTokens: [], topLogprobs: [] });
    text += outcome.chunk?.text ?? '';
    found = outcome.found;
    if (found !== undefined) break;
    if (!expected.startsWith(text)) break;
  }
  const last = builder.finish();
  text += last.chunk?.text ?? '';
  found ??= last.found;
  if (text === expected && found === first?.stop) return;
  throw new Error(`${name}: an answer ${JSON.stringify(whole)} gave ${JSON.stringify({ text, found })}`);
}
