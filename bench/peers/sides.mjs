// Runs one measurement of each side, in its own process, and checks it for disturbance.
import { execFile } from 'node:child_process';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { watchOtherProcesses } from './cpu-contention.mjs';
import { peersFolder } from './llama-cpp.mjs';

const runFile = promisify(execFile);

/** @param work the measured work: { prefill: tokens }, { decode: tokens } or {}: loading alone */
export async function measureGrokRun(work, threads, options) {
  if (options.weights === 'memory') return await watched(options, () => benchInMemory(work, threads, options));
  const library = join(options.dist, 'lib', 'index.js');
  const whatToRun = [options.model.checkpoint, '--library', library];
  return await measure('measure-grok-run.mjs', whatToRun, work, threads, options);
}

export async function measureLlamaCpp(work, threads, options) {
  const { model, nodeLlamaCpp } = options;
  return await measure('measure-llama-cpp.mjs', [model.gguf, '--node-llama-cpp', nodeLlamaCpp], work, threads, options);
}

/**
 * The limits of this machine, and the bytes that grok-run reads to decode a token: `grok-run bench` with minimal work.
 */
export async function probeLimits(options) {
  const model = options.weights === 'memory' ? ['--shape', options.name] : ['--model', options.model.checkpoint];
  const report = await bench(options, [...model, '--threads', options.threads.join(), '--prefill', 1, '--decode', 1]);
  return {
    weightBytesPerToken: report.model.weightBytesPerToken,
    limits: report.runs.map(({ threads, limits }) => ({ ...limits, threads })),
  };
}

async function measure(script, whatToRun, work, threads, options) {
  const flags = Object.entries({ threads, 'vocab-size': options.model.shape.vocabSize, ...work });
  const args = flags.flatMap(([name, value]) => [`--${name}`, value]);
  return await watched(options, () => runNode(join(peersFolder, script), [...whatToRun, ...args]));
}

/** A network of that shape with other weights, made in memory, for a machine without room for the file. */
async function benchInMemory({ prefill, decode }, threads, options) {
  const sizes = ['--threads', threads, '--prefill', prefill ?? 1, '--decode', decode ?? 1];
  const { runs } = await bench({ ...options, keepDisturbed: true }, ['--shape', options.name, ...sizes]);
  const [run] = runs;
  const { tokensPerSecond } = decode === undefined ? run.prefill[0] : run.decode;
  return { tokensPerSecond: tokensPerSecond.median, device: run.device, peakRssBytes: run.peakMemoryBytes };
}

async function bench({ dist, keepDisturbed }, args) {
  const once = ['--device', 'cpu', '--reps', 1, '--json', ...(keepDisturbed ? ['--keep-disturbed'] : [])];
  return await runNode(join(dist, 'bin', 'grok-run.js'), ['bench', ...args, ...once]);
}

/** Adds the share of a core that other processes used meanwhile. */
async function watched({ busyLoopPids, quietShare }, run) {
  const shareOfOthers = watchOtherProcesses(busyLoopPids);
  const measured = await run();
  const othersShare = shareOfOthers();
  return { ...measured, othersShare, disturbed: othersShare > quietShare };
}

/** Runs a script that prints JSON. */
async function runNode(script, args) {
  try {
    const { stdout } = await runFile(process.execPath, [script, ...args.map(String)], { maxBuffer: 2 ** 26 });
    return JSON.parse(stdout);
  } catch (error) {
    throw new Error(`${[basename(script), ...args].join(' ')}: ${error.stderr || error.message}`, { cause: error });
  }
}
