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

/** All that can be said of a checkpoint from its headers; sizes in bytes. */
export interface Inspection extends Omit<NativeInspection, 'generation'> {
  readonly generation: GenerationConfig;
  /** The list of hashes that {@link verify} compares with; null when there is none. */
  readonly manifest: ManifestState | null;
}

/**
 * Reads the headers of a checkpoint and says what is in it and what memory it needs. No weight is read. `'grok-1'`, with
 * nothing of that name in the current directory, is Grok-1 by its known shapes.
 * @throws {GrokError} GROK_NO_BINARY, GROK_NOT_FOUND, GROK_IO, GROK_BAD_CHECKPOINT, GROK_UNSUPPORTED
 */
export async function inspect(source?: string, options?: InspectOptions): Promise<Inspection> {
  const path = sourcePath(source);
  const native = resolveInspectOptions(options);
  const inspection = await callReading(() => loadNative().inspect(path, { ...native, isa: chosenIsa() }), undefined);
  const manifest = inspection.isPlan ? null : await manifestState(inspection.path);
  return { ...inspection, generation: generationConfigOf(inspection), manifest };
}

/** Of the embedded model where there is no source. */
export function sourcePath(source: unknown): string {
  if (source === undefined) return join(packageRoot, 'models', 'grok-tiny');
  if (typeof source === 'string' && source !== '') return source;
  throw invalidArgument('source', 'the path of a checkpoint', source);
}
