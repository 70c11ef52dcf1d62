import { join } from 'node:path';
import { callReading } from '../addon/calls.js';
import { chosenIsa } from '../addon/isa.js';
import { loadNative } from '../addon/loader.js';
import type { NativeConfig, NativeInspection } from '../addon/types.js';
import { invalidArgument } from '../errors.js';
import { type GenerationConfig, generationConfigOf } from '../options/generation-config.js';
import { resolveInspectOptions } from '../options/resolve.js';
import type { InspectOptions } from '../options/schema.js';
import { packageRoot } from '../package-root.js';
import { type ManifestState, manifestState } from './manifest.js';

/** The model's hyperparameters. */
export type ModelConfig = NativeConfig;

/** Description of a checkpoint from its headers; sizes in bytes. */
export interface Inspection extends Omit<NativeInspection, 'generation'> {
  readonly generation: GenerationConfig;
  /** State of the list of hashes that {@link verify} uses; null if there is none. */
  readonly manifest: ManifestState | null;
}

/**
 * Reads the headers of a checkpoint and reports its contents and the memory that it needs. Reads no weight. `'grok-1'`,
 * unless the current directory has something of that name, is Grok-1 by its known shapes.
 * @throws {GrokError} GROK_NO_BINARY, GROK_NOT_FOUND, GROK_IO, GROK_BAD_CHECKPOINT, GROK_UNSUPPORTED
 */
export async function inspect(source?: string, options?: InspectOptions): Promise<Inspection> {
  const path = sourcePath(source);
  const native = resolveInspectOptions(options);
  const inspection = await callReading(() => loadNative().inspect(path, { ...native, isa: chosenIsa() }), undefined);
  const manifest = inspection.isPlan ? null : await manifestState(inspection.path);
  return { ...inspection, generation: generationConfigOf(inspection), manifest };
}

/** Path of the source; without one, that of the embedded model. */
export function sourcePath(source: unknown): string {
  if (source === undefined) return join(packageRoot, 'models', 'grok-tiny');
  if (typeof source === 'string' && source !== '') return source;
  throw invalidArgument('source', 'the path of a checkpoint', source);
}
