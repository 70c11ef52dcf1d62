// node-llama-cpp on its prebuilt CPU binary: no download, no build.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const peersFolder = dirname(fileURLToPath(import.meta.url));

function packageFolder(folder) {
  const found = join(folder, 'node_modules', 'node-llama-cpp');
  if (existsSync(found)) return found;
  throw new Error(`Expected node-llama-cpp in ${folder}: run npm install there`);
}

/** Versions of the package and of the llama.cpp in it. @param folder that it is installed in */
export function peerVersions(folder = peersFolder) {
  const read = (...path) => JSON.parse(readFileSync(join(packageFolder(folder), ...path), 'utf8'));
  return {
    nodeLlamaCpp: read('package.json').version,
    llamaCpp: read('llama', 'binariesGithubRelease.json').release,
  };
}

/** Opens a model, and times how long that takes. `kv` is the type of the key-value cache, F16 when left out. */
export async function openLlamaCpp(modelPath, { folder = peersFolder, threads, context, batch = 512, kv }) {
  const library = await import(pathToFileURL(join(packageFolder(folder), 'dist', 'index.js')).href);
  const llama = await library.getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    logLevel: library.LlamaLogLevel.error,
    maxThreads: 0, // as many as a context asks for
  });
  const startedAt = performance.now();
  const model = await llama.loadModel({ modelPath, gpuLayers: 0, useMmap: true, ignoreMemorySafetyChecks: true });
  const opened = await model.createContext({
    contextSize: context,
    batchSize: batch,
    threads,
    flashAttention: false, // llama.cpp turns it off for this architecture
    ignoreMemorySafetyChecks: true,
    ...(kv ? { experimentalKvCacheKeyType: kv, experimentalKvCacheValueType: kv } : {}),
  });
  const loadMs = performance.now() - startedAt;
  // "CPU : SSE3 = 1 | AVX2 = 1 | ": what its kernels were compiled for.
  const device = llama.systemInfo.replaceAll(' = 1', '').replace(/[\s|]+$/, '');
  return { sequence: opened.getSequence(), device, loadMs, close: () => llama.dispose() };
}
