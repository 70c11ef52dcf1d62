import type { Grok } from '../lib/index.js';
import type { Host } from './host.js';
import { loadOptionsOf, type ModelFlags, modelOf, type OutputFlags } from './options.js';
import { LoadBar } from './progress.js';

/** The model that the flags mean, with a bar while it loads where a person watches. */
export async function loadModel(host: Host, flags: ModelFlags & OutputFlags): Promise<Grok> {
  const wantsBar = host.stderr.isTTY && !flags.quiet && flags.progress !== false;
  const bar = wantsBar ? new LoadBar(host) : undefined;
  try {
    return await host.library.Grok.load(modelOf(flags), {
      ...loadOptionsOf(flags),
      ...(bar && { onProgress: (progress) => bar.update(progress) }),
    });
  } finally {
    bar?.stop();
  }
}
