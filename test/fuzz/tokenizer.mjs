// Fuzz target of the tokenizer reader, without coverage: mutations of the corpus, drawn from a seed.
// Every input must give a tokenizer that works, or GROK_BAD_TOKENIZER.
//
//   node test/fuzz/tokenizer.mjs [--runs N] [--seconds N] [--seed N]

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Tokenizer } from '../../dist/lib/index.js';
import { parseModel, readModelFile } from '../../dist/lib/text/sentencepiece/model-file.js';

const corpus = join(import.meta.dirname, 'corpus', 'tokenizer');
// Reading a file takes longer than parsing it, and the library needs 20 ms to load a model. So few inputs become a
// file, and fewer go to the library.
const parsesPerFile = 50;
const acceptedPerLoad = 100;

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
  },
});
const maxRuns = Number(values.runs);
const maxMs = Number(values.seconds) * 1000 || Infinity;
let state = Number(values.seed) >>> 0;

/** An integer in [0, limit). Constants of Numerical Recipes. */
function below(limit) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * limit);
}

function replaced(bytes, start, count, replacement) {
  return Buffer.concat([bytes.subarray(0, start), replacement, bytes.subarray(start + count)]);
}

function mutated(input, others) {
  let bytes = Buffer.from(input);
  for (let edits = 1 + below(4); edits > 0; edits--) {
    // The fields after the pieces decide most of the behaviour.
    const at = below(2) ? below(bytes.length) : Math.max(0, bytes.length - 1 - below(200));
    const other = others[below(others.length)];
    const from = below(other.length);
    const kind = below(6);
    if (kind === 0 && bytes.length > 0) bytes[at] = below(256);
    else if (kind === 1 && bytes.length > 0) bytes[at] ^= 1 << below(8);
    else if (kind === 2) bytes = replaced(bytes, at, 0, Buffer.of(below(256)));
    else if (kind === 3) bytes = replaced(bytes, at, 1 + below(8), Buffer.of());
    else if (kind === 4) bytes = replaced(bytes, at, below(64), other.subarray(from, from + below(64)));
    else if (below(8) === 0) bytes = bytes.subarray(0, at);
  }
  return bytes;
}

function check(condition, what) {
  if (!condition) throw new Error(`not true: ${what}`);
}

/** Whether the reader takes the input. */
async function read(input, asFile) {
  try {
    if (asFile) writeFileSync(file, input);
    const { pieces, bosId, eosId, padId } = parseModel(asFile ? await readModelFile(file) : input, file);
    check(pieces.length > 0, 'a model has pieces');
    for (const id of [bosId, eosId, padId]) check(id >= -1 && id < pieces.length, 'an id is one of a piece');
    return true;
  } catch (error) {
    checkRefusal(error);
    return false;
  }
}

async function load(input) {
  try {
    writeFileSync(file, input);
    const tokenizer = await Tokenizer.load(file);
    const ids = tokenizer.encode('Once upon a time');
    check(ids.length > 0, 'text has tokens');
    check(typeof tokenizer.decode(ids) === 'string', 'tokens have text');
  } catch (error) {
    checkRefusal(error);
  }
}

function checkRefusal(error) {
  if (error.code !== 'GROK_BAD_TOKENIZER') throw error;
  check(error.message.length < 20_000, 'a message is short');
}

const inputs = readdirSync(corpus).map((name) => readFileSync(join(corpus, name)));
const directory = mkdtempSync(join(tmpdir(), 'grok-run-fuzz-'));
const file = join(directory, 'tokenizer.model');
const start = performance.now();
let runs = 0;
let accepted = 0;
try {
  for (; runs < maxRuns && performance.now() - start < maxMs; runs++) {
    const input = runs < inputs.length ? inputs[runs] : mutated(inputs[runs % inputs.length], inputs);
    const asFile = runs < inputs.length || runs % parsesPerFile === 0;
    try {
      if ((await read(input, asFile)) && accepted++ % acceptedPerLoad === 0) await load(input);
    } catch (error) {
      const finding = join(tmpdir(), `fuzz-tokenizer-finding-${process.pid}`);
      writeFileSync(finding, input);
      console.error(`${finding}: run ${runs} of seed ${values.seed}`);
      throw error;
    }
  }
} finally {
  rmSync(directory, { recursive: true });
  console.error(`stat::number_of_executed_units: ${runs}`);
}
console.error(`${accepted} inputs are tokenizers`);
