#!/usr/bin/env node
// Writes one random network twice: as GGUF for llama.cpp, and as a checkpoint for grok-run.
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeCheckpoint } from './checkpoint.mjs';
import { GGUF_TYPES, writeGguf } from './gguf.mjs';
import { isMain } from './is-main.mjs';
import { shapeOf } from './shapes.mjs';

/** The two files of a shape in `folder`, created if they do not exist. */
export function ensureModel(folder, nameOrFile, { seed = 1, type = 'q8_0', checkpoint = true, log = () => {} } = {}) {
  const shape = shapeOf(nameOrFile);
  const name = basename(nameOrFile, '.json') + (seed === 1 ? '' : `-${seed}`);
  const ofType = type === 'q8_0' ? '' : `-${type}`;
  const paths = { shape, gguf: join(folder, `${name}${ofType}.gguf`), checkpoint: join(folder, name) };
  mkdirSync(folder, { recursive: true });
  make(paths.gguf, (path) => writeGguf(path, shape, { seed, type }), log);
  if (checkpoint) make(paths.checkpoint, (path) => writeCheckpoint(path, shape, { seed }), log);
  return paths;
}

/** Writes under another name until it is complete, so an interrupted run leaves no file that looks finished. */
function make(path, write, log) {
  if (existsSync(path)) return;
  const unfinished = `${path}.unfinished`;
  rmSync(unfinished, { recursive: true, force: true });
  const startedAt = performance.now();
  write(unfinished);
  renameSync(unfinished, path);
  const file = statSync(path).isDirectory() ? join(path, 'model.safetensors') : path;
  const seconds = (performance.now() - startedAt) / 1000;
  log(`${file}: ${(statSync(file).size / 1e9).toFixed(2)} GB in ${seconds.toFixed(1)} s`);
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      shape: { type: 'string' },
      models: { type: 'string' },
      type: { type: 'string', default: 'q8_0' },
      seed: { type: 'string', default: '1' },
      checkpoint: { type: 'boolean', default: true },
    },
    allowNegative: true,
  });
  if (!values.shape || !values.models || !(values.type in GGUF_TYPES)) {
    console.error(
      'usage: make-model.mjs --shape NAME|FILE.json --models FOLDER [--type q8_0|f32-head|f32] [--seed N] [--no-checkpoint]',
    );
    process.exit(2);
  }
  ensureModel(values.models, values.shape, {
    seed: Number(values.seed),
    type: values.type,
    checkpoint: values.checkpoint,
    log: console.log,
  });
}
