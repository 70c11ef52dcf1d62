#!/usr/bin/env node
// grok-run and llama.cpp on the same network, in turns: speed, time to load, memory. See README.md.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { casesOf, measureCase } from './figures.mjs';
import { peersFolder, peerVersions } from './llama-cpp.mjs';
import { ensureModel } from './make-model.mjs';
import { startBusyLoops } from './neighbours.mjs';
import { lineOf, tableOf } from './table.mjs';

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
  --library FILE            grok-run's entry (default: dist/lib/index.js of this repository)
  --node-llama-cpp FOLDER   where it is installed (default: this folder)
  --out FILE                all measurements as JSON`;

const options = readOptions();
const neighbours = startBusyLoops(options.busy);
try {
  const report = await run(options, neighbours.pids);
  if (options.out) writeFileSync(options.out, `${JSON.stringify(report, null, 2)}\n`);
} finally {
  neighbours.stop();
}

async function run(options, neighbourPids) {
  const report = { ...circumstances(options), shapes: [] };
  for (const name of options.shapes) {
    const model = ensureModel(options.models, name, { type: options.type, log: console.error });
    const results = [];
    for (const each of casesOf(options)) {
      const rows = await measureCase(each, { ...options, model, neighbourPids });
      for (const row of rows) console.error(`${name}: ${lineOf(row)}`);
      results.push(...rows);
    }
    console.log(tableOf(name, results, report));
    report.shapes.push({ name, ...model.shape, results });
  }
  return report;
}

/** What a reader must know to compare these figures with others. */
function circumstances({ threads, reps, busy, quietShare, keepDisturbed, type, decode, nodeLlamaCpp }) {
  return {
    date: new Date().toISOString(),
    commit: git('rev-parse', 'HEAD'),
    uncommittedChanges: git('status', '--porcelain', '--untracked-files=no') !== '',
    machine: { cpu: cpus()[0].model, threads: availableParallelism(), memoryBytes: totalmem() },
    node: process.version,
    peer: peerVersions(nodeLlamaCpp),
    options: { threads, reps, busy, quietShare, keepDisturbed, type, decode },
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
      figures: { type: 'string', default: 'decode,prefill,load-warm,load-cold' },
      prefill: { type: 'string', default: '128,512' },
      decode: { type: 'string', default: '32' },
      reps: { type: 'string', default: '5' },
      busy: { type: 'string', default: '0' },
      'quiet-share': { type: 'string', default: '0.05' },
      'keep-disturbed': { type: 'boolean', default: false },
      type: { type: 'string', default: 'q8_0' },
      library: { type: 'string', default: join(peersFolder, '..', '..', 'dist', 'lib', 'index.js') },
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
  const figures = values.figures.split(',');
  for (const figure of figures) oneOf('figures', figure, ['decode', 'prefill', 'load-warm', 'load-cold']);
  return {
    models: resolve(values.models),
    shapes: values.shape.split(','),
    threads: values.threads.split(',').map((text) => whole('threads', text, 1)),
    figures,
    prefill: values.prefill.split(',').map((text) => whole('prefill', text, 1)),
    decode: whole('decode', values.decode, 1),
    reps: whole('reps', values.reps, 1),
    busy: whole('busy', values.busy, 0),
    quietShare: Number(values['quiet-share']),
    keepDisturbed: values['keep-disturbed'],
    type: oneOf('type', values.type, ['q8_0', 'f32-head']),
    library: resolve(values.library),
    nodeLlamaCpp: resolve(values['node-llama-cpp']),
    out: values.out,
  };
}

function whole(name, text, lowest) {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= lowest && text.trim() !== '') return value;
  throw new RangeError(`Expected --${name} to be a whole number ≥ ${lowest}, got '${text}'`);
}

function oneOf(name, text, allowed) {
  if (allowed.includes(text)) return text;
  throw new RangeError(`Expected --${name} to be one of ${allowed.join(', ')}, got '${text}'`);
}
