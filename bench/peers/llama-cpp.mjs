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

/** Versions of the package and of the llama.cpp in it. @param folder its installation folder */
export function peerVersions(folder = peersFolder) {
  const read = (...path) => JSON.parse(readFileSync(join(packageFolder(folder), ...path), 'utf8'));
  return {
    nodeLlamaCpp: read('package.json').version,
    llamaCpp: read('llama', 'binariesGithubRelease.json').release,
  };
}

/** Opens a model and times that. `kv` is the type of the key-value cache; default F16. */
export async function openLlamaCpp(modelPath, { folder = peersFolder, threads, context, batch = 512, kv }) {
  const library = await import(pathToFileURL(join(packageFolder(folder), 'dist', 'index.js')).href);
  const llama = await library.getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    logLevel: library.LlamaLogLevel.error,
    maxThreads: 0, // no limit: a context sets the number
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
  // "CPU : SSE3 = 1 | AVX2 = 1 | ": the features with which its kernels were compiled.
  const device = llama.systemInfo.replaceAll(' = 1', '').replace(/[\s|]+$/, '');
  return { sequence: opened.getSequence(), device, loadMs, close: () => llama.dispose() };
}
