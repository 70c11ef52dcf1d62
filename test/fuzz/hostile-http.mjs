// Requests for test/fuzz/http.mjs: bodies with wrong fields, broken JSON, odd headers, and bytes that are no HTTP.

/** A small generator of random numbers, the same for the same seed. */
export function randomFrom(seed) {
  let state = seed >>> 0 || 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
  for (let turn = 0; turn < 8; turn++) next();
  return {
    below: (limit) => next() % limit,
    pick(items) {
      return items[next() % items.length];
    },
  };
}

const texts = [
  '',
  'a',
  'Once upon a time',
  '\u0000',
  '\ud800',
  '🦊'.repeat(20),
  '<|separator|>',
  '[EOS]',
  'x'.repeat(3000),
  '\n\nHuman:',
];
const numbers = [
  0,
  -0,
  1,
  -1,
  0.5,
  2,
  3,
  8,
  9,
  16,
  20,
  21,
  64,
  65,
  511,
  512,
  513,
  4096,
  1e6,
  2 ** 31,
  2 ** 53,
  1e300,
  -1e300,
];

function anything(random, depth = 0) {
  switch (random.below(depth > 3 ? 5 : 8)) {
    case 0:
      return random.pick(numbers);
    case 1:
      return random.pick(texts);
    case 2:
      return random.pick([true, false]);
    case 3:
      return null;
    case 4:
      return undefined;
    case 5:
      return Array.from({ length: random.below(5) }, () => anything(random, depth + 1));
    case 6:
      return Array.from({ length: random.below(80) }, () => random.pick(numbers));
    default:
      return Object.fromEntries(
        Array.from({ length: random.below(4) }, () => [random.pick(fields), anything(random, depth + 1)]),
      );
  }
}

const fields = [
  ...['model', 'prompt', 'messages', 'max_tokens', 'max_completion_tokens', 'n', 'stop', 'logprobs', 'top_logprobs'],
  ...['echo', 'stream', 'stream_options', 'seed', 'logit_bias', 'temperature', 'top_p', 'top_k', 'min_p', 'user'],
  ...['repetition_penalty', 'presence_penalty', 'frequency_penalty', 'ignore_eos', 'stop_token_ids', 'best_of'],
  ...['suffix', 'tools', 'response_format', 'role', 'content', 'type', 'text', 'tokens', '__proto__', 'constructor'],
  ...['toString', 'include_usage', 'return_tokens_as_token_ids', 'chat_template', '5', 'hasOwnProperty'],
];

/** Values that are nearly right, so that some requests get far. */
function plausible(random, field) {
  const makers = {
    prompt: () =>
      random.pick(['Once', ['The cat', [5, 6, 7]], [1, 2, 3], [[400, 401]], texts, 'The dog ran', ['a', 'b', 'c']]),
    messages: () =>
      Array.from({ length: 1 + random.below(3) }, (_, index) => ({
        role: random.pick(index === 0 ? ['user', 'system', 'developer'] : ['user', 'assistant', 'user', 'tool']),
        content: random.pick(['Hello', [{ type: 'text', text: 'Hi' }], [{ type: 'image_url' }], null, ...texts]),
      })),
    max_tokens: () => random.below(9),
    max_completion_tokens: () => random.below(9),
    n: () => 1 + random.below(3),
    stop: () => random.pick(['.', ['a', 'the'], ['\n'], ' ']),
    stream: () => random.pick([true, false]),
    stream_options: () => ({ include_usage: random.pick([true, false]) }),
    logprobs: () => random.pick([0, 1, 5, true, false]),
    top_logprobs: () => random.below(5),
    echo: () => random.pick([true, false]),
    temperature: () => random.pick([0, 0.5, 1, 2]),
    logit_bias: () => ({ [random.below(5000)]: random.pick([-100, 0, 100, 5]) }),
    seed: () => random.below(1000),
    tokens: () => Array.from({ length: random.below(20) }, () => random.below(4200)),
  };
  return Object.hasOwn(makers, field) ? makers[field]() : anything(random);
}

const bodyFields = {
  '/v1/completions': ['prompt'],
  '/v1/chat/completions': ['messages'],
  '/tokenize': ['prompt'],
  '/detokenize': ['tokens'],
  '/apply-template': ['messages'],
};

const headerNames = [
  'x-request-id',
  'authorization',
  'origin',
  'accept',
  'expect',
  'content-type',
  'accept-encoding',
  'cookie',
  'range',
];
const headerValues = [
  '',
  'a',
  'Bearer ',
  'Bearer x',
  'null',
  'http://evil.example',
  'http://localhost',
  '*/*',
  'x'.repeat(500),
  'text/plain',
  '"<>',
  'gzip',
];

/** A request whose HTTP is right and whose contents need not be. */
export function hostileBody(random, routes) {
  const route = random.pick(routes);
  const path = random.below(20) === 0 ? randomPath(random) : route.path.replace(':id{.+}', 'grok-tiny');
  const method =
    random.below(20) === 0 ? random.pick(['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'GET']) : route.method;
  const headers = {};
  while (random.below(3) === 0) headers[random.pick(headerNames)] = random.pick(headerValues);
  if (headers.expect !== undefined) delete headers.expect;
  if (method !== 'POST') return { method, path, headers, body: '' };
  const body = new Map([['max_tokens', random.below(9)]]);
  for (const field of bodyFields[route.path] ?? []) body.set(field, plausible(random, field));
  while (random.below(4) > 0) {
    const field = random.pick(fields);
    body.set(field, random.below(4) > 0 ? plausible(random, field) : anything(random));
  }
  // Long texts of many choices would only take time.
  if (Number.isInteger(body.get('n')) && body.get('n') > 3) body.set('max_tokens', 1);
  let text = JSON.stringify(Object.fromEntries(body));
  if (random.below(6) === 0) text = mutated(random, text);
  return { method, path, headers, body: text };
}

function randomPath(random) {
  return random.pick([
    '/',
    '//',
    '/v1',
    '/v1/',
    '/v1/models/',
    '/v1/models/%zz',
    '/v1/models/a/b',
    '/health?x=%',
    '/%00',
    '/..%2f',
    '/v1/completions/',
    '/metrics/x',
    '/*',
  ]);
}

/** Changes a few characters. */
function mutated(random, text) {
  let changed = text;
  for (let change = 0; change <= random.below(4); change++) {
    const at = random.below(changed.length + 1);
    const insert = random.pick([
      '',
      '{',
      '}',
      '[',
      ']',
      '"',
      ',',
      '\\',
      '\\u',
      '0',
      '-',
      'e',
      '\u0000',
      'null',
      '[[['.repeat(500),
    ]);
    changed = changed.slice(0, at) + insert + changed.slice(at + random.below(4));
  }
  return changed;
}

/** Bytes that are nearly a request, as latin1. */
export function hostileBytes(random, routes) {
  const { path } = random.pick(routes);
  const method = random.pick(['GET', 'POST', 'POST', 'HEAD', 'TRACE', 'CONNECT', 'M-SEARCH', 'get', 'G\u0000T', '']);
  const version = random.pick(['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/9', 'http', '']);
  const body = mutated(random, '{"prompt":"Once","max_tokens":3}');
  const lines = [
    `${method} ${random.pick([path, '*', 'http://evil.example/', ' ', '/\u00ff', `/${'a'.repeat(9000)}`])} ${version}`,
  ];
  const choices = [
    'Host: localhost',
    'Host: localhost',
    'Host: evil.example',
    `Content-Length: ${body.length}`,
    `Content-Length: ${body.length}`,
    'Content-Length: -1',
    'Content-Length: 99999999999',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: gzip, chunked',
    'Connection: close',
    'Connection: upgrade\r\nUpgrade: websocket',
    'Expect: 100-continue',
    'Expect: something',
    'X\u0000: y',
    ': z',
    'no colon',
    `X: ${'y'.repeat(random.below(20_000))}`,
    ' folded: x',
  ];
  for (let line = 0; line < 1 + random.below(6); line++) lines.push(random.pick(choices));
  const chunked = random.pick(['5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n', 'zz\r\n', 'ffffffffff\r\n', body, body]);
  return `${lines.join('\r\n')}\r\n\r\n${chunked}`;
}
