#!/usr/bin/env node
// Alternating measurements of grok-run and llama.cpp on the same network: speed, time to load, memory. See README.md.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startBusyLoops } from './cpu-contention.mjs';
import { casesOf, measureCase } from './figures.mjs';
import { bytesReadPerToken } from './gguf.mjs';
import { peersFolder, peerVersions } from './llama-cpp.mjs';
import { ensureModel } from './make-model.mjs';
import { probeLimits } from './sides.mjs';
import { limitsText, lineOf, tableOf } from './table.mjs';
import { CONTEXT, PROMPT_TOKENS } from './workload.mjs';

const USAGE = `usage: side-by-side.mjs --models FOLDER [--shape tiny,mid,slice] [options]

  --models FOLDER           where the models lie; those missing are made
  --shape LIST              names or .json files (default: mid)
  --threads LIST            (default: 1 and as many as this process may use)
  --figures LIST            of decode, prefill, load-warm, load-cold (default: all)
  --prefill LIST            tokens of a prompt (default: 128,512)
  --decode N                tokens to decode (default: 32)
  --reps N                  quiet pairs of each figure; up to 3 N are tried (default: 5)
  --busy N                  keep N cores busy meanwhile
  --quiet-share X           share of a core that others may use in a quiet measurement (default: 0.05)
  --keep-disturbed          keep every pair, quiet or not
  --type q8_0|f32-head      llama.cpp's weights: all in Q8_0, or the embedding, which is the head too, in f32 as
                            grok-run has it (default: q8_0)
  --weights checkpoint|memory
                            grok-run's weights: the same network, from its file; or another of that shape, made in
                            memory, where there is no room for the file: no load figures then (default: checkpoint)
  --dist FOLDER             the built grok-run (default: dist of this repository)
  --node-llama-cpp FOLDER   where it is installed (default: this folder)
  --out FILE                all measurements as JSON`;

const options = readOptions();
try {
  await compareShapes(options);
} catch (error) {
  console.error(error.message); // it names the measurement and its output
  process.exitCode = 1;
}

async function compareShapes(options) {
  const report = { ...circumstances(options), shapes: [] };
  // Saved after each figure, so that a later error does not lose hours of measurements.
  const save = () => options.out && writeFileSync(options.out, `${JSON.stringify(report, null, 2)}\n`);
  for (const name of options.shapes) {
    const checkpoint = options.weights === 'checkpoint';
    const model = ensureModel(options.models, name, { type: options.type, checkpoint, log: console.error });
    const { limits, weightBytesPerToken } = await probeLimits({ ...options, name, model });
    const bytesPerToken = { grokRun: weightBytesPerToken, llamaCpp: bytesReadPerToken(model.shape, options.type) };
    const results = [];
    report.shapes.push({ name, ...model.shape, limits, bytesPerToken, results });
    for await (const rows of measureShape({ ...options, name, model })) {
      for (const row of rows) console.error(`${name}: ${lineOf(row)}`);
      results.push(...rows);
      save();
    }
    console.log(tableOf(name, results, report));
    console.log(limitsText({ limits, bytesPerToken }, results));
  }
}

async function* measureShape(options) {
  const busyLoops = startBusyLoops(options.busy);
  try {
    for (const each of casesOf(options)) yield await measureCase(each, { ...options, busyLoopPids: busyLoops.pids });
  } finally {
    busyLoops.stop();
  }
}

/** Facts that a reader needs to compare these figures with others. */
function circumstances({ threads, reps, busy, quietShare, keepDisturbed, type, weights, decode, nodeLlamaCpp }) {
  return {
    date: new Date().toISOString(),
    commit: git('rev-parse', 'HEAD'),
    uncommittedChanges: git('status', '--porcelain', '--untracked-files=no') !== '',
    machine: { cpu: cpus()[0].model, threads: availableParallelism(), memoryBytes: totalmem() },
    node: process.version,
    peer: peerVersions(nodeLlamaCpp),
    options: { threads, reps, busy, quietShare, keepDisturbed, type, weights, decode },
  };
}

function git(...args) {
  return execFileSync('git', ['-C', peersFolder, ...args], { encoding: 'utf8' }).trim();
}

function readOptions() {
  try {
    return parseOptions();
  } catch (error) {
    console.error(`${error.message}\n\n${USAGE}`);
    process.exit(2);
  }
}

function parseOptions() {
  const { values } = parseArgs({
    options: {
      models: { type: 'string' },
      shape: { type: 'string', default: 'mid' },
      threads: { type: 'string', default: [...new Set([1, availableParallelism()])].join() },
      figures: { type: 'string' },
      prefill: { type: 'string', default: '128,512' },
      decode: { type: 'string', default: '32' },
      reps: { type: 'string', default: '5' },
      busy: { type: 'string', default: '0' },
      'quiet-share': { type: 'string', default: '0.05' },
      'keep-disturbed': { type: 'boolean', default: false },
      type: { type: 'string', default: 'q8_0' },
      weights: { type: 'string', default: 'checkpoint' },
      dist: { type: 'string', default: join(peersFolder, '..', '..', 'dist') },
      'node-llama-cpp': { type: 'string', default: peersFolder },
      out: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  if (values.models === undefined) throw new RangeError('Expected --models, a folder with room for the models');
  const ofRates = ['decode', 'prefill'];
  const all = values.weights === 'memory' ? ofRates : [...ofRates, 'load-warm', 'load-cold'];
  const figures = values.figures?.split(',') ?? all;
  for (const figure of figures) oneOf('figures', figure, all);
  if (values.weights === 'memory' && values.shape.includes('.json')) {
    throw new RangeError('Expected --weights checkpoint for the shape of a file');
  }
  return {
    models: resolve(values.models),
    shapes: values.shape.split(','),
    threads: values.threads.split(',').map((text) => whole('threads', text, 1)),
    figures,
    prefill: values.prefill.split(',').map((text) => whole('prefill', text, 1, CONTEXT - 1)),
    decode: whole('decode', values.decode, 1, CONTEXT - PROMPT_TOKENS - 1),
    reps: whole('reps', values.reps, 1),
    busy: whole('busy', values.busy, 0),
    quietShare: share('quiet-share', values['quiet-share']),
    keepDisturbed: values['keep-disturbed'],
    type: oneOf('type', values.type, ['q8_0', 'f32-head']),
    weights: oneOf('weights', values.weights, ['checkpoint', 'memory']),
    dist: resolve(values.dist),
    nodeLlamaCpp: resolve(values['node-llama-cpp']),
    out: values.out,
  };
}

function whole(name, text, lowest, highest = Number.MAX_SAFE_INTEGER) {
  const value = Number(text);
  if (Number.isInteger(value) && value >= lowest && value <= highest && text.trim() !== '') return value;
  throw new RangeError(`Expected --${name} to be a whole number from ${lowest} to ${highest}, found '${text}'`);
}

function share(name, text) {
  const value = Number(text);
  if (value > 0 && value <= 1) return value;
  throw new RangeError(`Expected --${name} to be a number above 0 and up to 1, found '${text}'`);
}

function oneOf(name, text, allowed) {
  if (allowed.includes(text)) return text;
  throw new RangeError(`Expected --${name} to be one of ${allowed.join(', ')}, found '${text}'`);
}
