// Hostile HTTP requests: only documented answers, no crash, no hang, no stack in an answer.
//
//   node test/fuzz/http.mjs [--seconds N] [--seed N]     after `npm run build`

import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { parseArgs } from 'node:util';
import { Grok } from '../../dist/lib/index.js';
import { routes } from '../../dist/server/app.js';
import { errorKinds } from '../../dist/server/http/http-error.js';
import { createServer } from '../../dist/server/index.js';
import { hostileBody, hostileBytes, randomFrom } from './hostile-http.mjs';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' } },
});
const patienceMs = 30_000;
const workers = 6;

const current = new Map();
function fail(sentence, sent, answer) {
  console.error(`http fuzz, seed ${values.seed}: ${sentence}`);
  if (sent !== undefined) console.error(`sent: ${JSON.stringify(sent).slice(0, 4000)}`);
  if (answer !== undefined) console.error(`answer: ${JSON.stringify(answer).slice(0, 4000)}`);
  process.exit(1);
}
for (const event of ['uncaughtException', 'unhandledRejection'])
  process.on(event, (error) => fail(`${event}: ${error?.stack}`, [...current.values()]));

const grok = await Grok.load(undefined, { maxSequences: 8, maxQueue: 64 });
const server = createServer(grok, { bodyTimeout: 1000, requestTimeout: 20_000, logger: noteStack });
const { port } = await server.listen(0);
const agent = new Agent({ keepAlive: true, maxSockets: workers });

function noteStack({ event, stack }) {
  if (event === 'internal_error') fail(`an internal error: ${stack}`, [...current.values()]);
}

const statuses = new Map();
const count = (status) => statuses.set(status, (statuses.get(status) ?? 0) + 1);

/** Holds any answer against docs/SERVER.md, whose tables a test compares with these. */
function checkAnswer(sent, { status, headers, text }) {
  count(status);
  if (/\n\s+at |node_modules|file:\/\/|\.[jt]s:\d/.test(text)) fail('a stack in an answer', sent, text);
  if (status >= 400) return checkError(sent, status, text);
  if (status === 204) return;
  if (status !== 200) fail(`status ${status}`, sent, text);
  const type = headers['content-type'] ?? '';
  if (type.startsWith('text/event-stream')) checkEvents(sent, text);
  else if (type.startsWith('application/json')) JSON.parse(text || 'null');
  else if (!type.startsWith('text/plain')) fail(`content type ${type}`, sent, text);
}

function checkError(sent, status, text) {
  if (text === '') return; // the answer to HEAD
  const { error } = JSON.parse(text);
  const kind = errorKinds[error?.code];
  if (!kind) fail('an error without a documented code', sent, text);
  if (kind.status !== status || kind.type !== error.type) fail('an error with a wrong status or type', sent, text);
  if (typeof error.message !== 'string' || error.message === '') fail('an error without a sentence', sent, text);
  if (error.param !== null && typeof error.param !== 'string') fail('a wrong param', sent, text);
}

function checkEvents(sent, text) {
  const events = text.split('\n\n');
  if (events.pop() !== '') fail('a stream without an end', sent, text);
  const data = events.map((event) => event.replace(/^data: /, ''));
  const last = data.pop();
  const parsed = data.map((event) => JSON.parse(event));
  if (last !== '[DONE]') checkError(sent, errorKinds[JSON.parse(last).error?.code]?.status, last);
  const begun = new Set(parsed.flatMap(({ choices }) => choices.map(({ index }) => index)));
  const ended = parsed.flatMap(({ choices }) => choices).filter(({ finish_reason }) => finish_reason !== null);
  if (last === '[DONE]' && ended.length !== begun.size) fail('a choice without one end', sent, text);
}

function send({ method, path, headers, body }) {
  return new Promise((resolve, reject) => {
    const sent = request({ port, method, path, headers, agent }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => {
        text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Sends bytes that may be no request at all. Resolves with what came back, which may be nothing. */
function sendBytes(bytes, leavesEarly) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.on('error', () => {}).on('close', () => resolve(text));
    socket.setEncoding('utf8').on('data', (part) => {
      text += part;
    });
    socket.write(bytes, 'latin1');
    if (leavesEarly) setTimeout(() => socket.destroy(), 5);
    else socket.end();
  });
}

const documented = new Set([100, 200, 204, ...Object.values(errorKinds).map(({ status }) => status)]);

/** The last answer that raw bytes got, if it is whole. */
function checkRaw(sent, text) {
  if (text === '') return;
  if (!/^HTTP\/1\.1 \d{3} /.test(text)) fail('an answer that is no HTTP', sent, text);
  const status = Number(text.slice(9, 12));
  count(status);
  if (!documented.has(status)) fail(`status ${status}`, sent, text);
  if (/\n\s+at .*\(|node_modules|file:\/\//.test(text)) fail('a stack in an answer', sent, text);
}

function within(promise, sent) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), patienceMs);
  });
  return Promise.race([promise, late])
    .catch((error) => fail(error.message, sent))
    .finally(() => clearTimeout(timer));
}

let requests = 0;
const end = performance.now() + 1000 * Number(values.seconds);
async function work(worker) {
  const random = randomFrom(Number(values.seed) * 1000 + worker);
  while (performance.now() < end) {
    requests++;
    if (random.below(4) === 0) {
      const bytes = hostileBytes(random, routes);
      current.set(worker, bytes);
      checkRaw(bytes, await within(sendBytes(bytes, random.below(3) === 0), bytes));
    } else {
      const sent = hostileBody(random, routes);
      current.set(worker, sent);
      checkAnswer(sent, await within(send(sent), sent));
    }
  }
}
await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));

const healthy = await send({ method: 'GET', path: '/health', headers: {} });
if (healthy.status !== 200) fail('the server is not healthy', undefined, healthy.text);
for (let tries = 0; ; tries++) {
  const { running, waiting } = grok.stats();
  if (running + waiting === 0) break;
  if (tries > 100) fail(`${running} generations run for nobody, ${waiting} wait`);
  await new Promise((resolve) => setTimeout(resolve, 50));
}
agent.destroy();
await server.close();
await grok.close();
const found = [...statuses].sort(([left], [right]) => left - right).map(([status, times]) => `${status}: ${times}`);
console.log(`${requests} requests in ${values.seconds} s, seed ${values.seed}; answers ${found.join(', ')}`);
