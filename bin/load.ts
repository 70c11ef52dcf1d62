import type { Grok, OpenedModel } from '../lib/index.js';
import type { Host } from './host.js';
import { loadOptionsOf, type ModelFlags, modelOf, type OutputFlags } from './options.js';
import { withBar } from './progress.js';

/**
 * Loads the model that the flags name, with a progress bar on a terminal.
 *
 * @param check refuses an invalid request before any weight is read
 */
export async function loadModel(
  host: Host,
  flags: ModelFlags & OutputFlags,
  check: (opened: OpenedModel) => Promise<void>,
): Promise<Grok> {
  return await withBar(host, flags, 'loading', (bar) =>
    host.library.Grok.load(modelOf(flags), {
      ...loadOptionsOf(flags),
      onOpened: check,
      ...(bar && { onProgress: (progress) => bar.update(progress) }),
    }),
  );
}
