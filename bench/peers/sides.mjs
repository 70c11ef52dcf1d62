// How each side is asked for one measurement, in a process of its own that is watched for disturbance.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { peersFolder } from './llama-cpp.mjs';
import { watchOthers } from './neighbours.mjs';

const runFile = promisify(execFile);

/** @param work what is measured: { prefill: tokens }, { decode: tokens } or {}: loading alone */
export async function measureGrokRun(work, threads, options) {
  return await measure(
    'measure-grok-run.mjs',
    [options.model.checkpoint, '--library', options.library],
    work,
    threads,
    options,
  );
}

export async function measureLlamaCpp(work, threads, options) {
  const { model, nodeLlamaCpp } = options;
  return await measure('measure-llama-cpp.mjs', [model.gguf, '--node-llama-cpp', nodeLlamaCpp], work, threads, options);
}

async function measure(script, whatToRun, work, threads, { model, neighbourPids, quietShare }) {
  const flags = Object.entries({ threads, 'vocab-size': model.shape.vocabSize, ...work });
  const args = [...whatToRun, ...flags.flatMap(([name, value]) => [`--${name}`, `${value}`])];
  const shareOfOthers = watchOthers(neighbourPids);
  const { stdout } = await runFile(process.execPath, [join(peersFolder, script), ...args]);
  const othersShare = shareOfOthers();
  return { ...JSON.parse(stdout), othersShare, disturbed: othersShare > quietShare };
}
