#!/usr/bin/env node
// Distance of both sides from exact arithmetic, on the network `tiny`. Prints JSON.
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { distance, exactLogits } from './exact.mjs';
import { openLlamaCpp, peersFolder, peerVersions } from './llama-cpp.mjs';
import { ensureModel } from './make-model.mjs';
import { spreadOf } from './statistics.mjs';
import { spreadIds } from './workload.mjs';

const SEED = 1;

const { values } = parseArgs({
  options: {
    models: { type: 'string' },
    tokens: { type: 'string', default: '24' },
    dist: { type: 'string', default: join(peersFolder, '..', '..', 'dist') },
    'node-llama-cpp': { type: 'string', default: peersFolder },
  },
});
if (values.models === undefined) {
  console.error('usage: distance.mjs --models FOLDER [--tokens N] [--dist FOLDER] [--node-llama-cpp FOLDER]');
  process.exit(2);
}
const folder = resolve(values['node-llama-cpp']);
const modelOf = (type) => ensureModel(values.models, 'tiny', { seed: SEED, type, log: console.error });
const model = modelOf('q8_0');
const ids = spreadIds(Number(values.tokens), 0, model.shape.vocabSize);
const exact = exactLogits(model.shape, ids, { seed: SEED });

console.log(
  JSON.stringify(
    {
      ...peerVersions(folder),
      tokens: ids.length,
      grokRun: summary(await logitsOfGrokRun()),
      llamaCppQ8: summary(await logitsOfLlamaCpp(model.gguf)),
      // Without rounding of its activations, to show that both sides run the same network.
      llamaCppF32: summary(await logitsOfLlamaCpp(modelOf('f32').gguf, 'F32')),
    },
    null,
    2,
  ),
);

function summary(logits) {
  const { positions, sameTop1 } = distance(exact, logits);
  return { relativeRms: spreadOf(positions), sameTop1 };
}

async function logitsOfGrokRun() {
  const { Grok } = await import(pathToFileURL(resolve(values.dist, 'lib', 'index.js')).href);
  const grok = await Grok.load(model.checkpoint, { device: 'cpu', contextSize: ids.length });
  const { data, shape } = await grok.logits(ids);
  await grok.close();
  return ids.map((_, position) => data.subarray(position * shape[1], (position + 1) * shape[1]));
}

async function logitsOfLlamaCpp(gguf, kv) {
  const { sequence, close } = await openLlamaCpp(gguf, { folder, threads: 1, context: 512, kv });
  const options = { generateNext: { logits: true, options: { temperature: 0 } } };
  const evaluated = await sequence.controlledEvaluate(ids.map((id) => [id, options]));
  const logits = evaluated.map(({ next }) => {
    const row = new Float32Array(model.shape.vocabSize);
    for (const [id, logit] of next.logits) row[id] = logit;
    return row;
  });
  await close();
  return logits;
}
