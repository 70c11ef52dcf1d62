import { cpSync, mkdtempSync, readFileSync } from 'node:fs';
import { hostname, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { report } from '../../../lib/bench/report.js';
import { verify } from '../../../lib/checkpoint/verify.js';
import { Grok } from '../../../lib/engine/grok.js';
import { addonIsBuilt, findTrainedModel, withoutTokenizer } from '../checkpoints.js';

const trained = findTrainedModel();

describe.skipIf(!addonIsBuilt())('report', () => {
  it('refuses bad options before it loads anything', async () => {
    const bad = { code: 'GROK_INVALID_ARGUMENT' };
    await expect(report('/nowhere', { verfy: true } as object)).rejects.toMatchObject(bad);
    await expect(report('/nowhere', { verify: 1 as never })).rejects.toMatchObject(bad);
    await expect(report('/nowhere', { sectionSeconds: -1 })).rejects.toMatchObject(bad);
    await expect(report('/nowhere', { onProgress: 1 as never })).rejects.toMatchObject(bad);
    await expect(report('/nowhere')).rejects.toMatchObject({ code: 'GROK_NOT_FOUND' });
  });

  it('rejects with the reason of its signal in the middle of its work', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const onProgress = (what: string) => what.startsWith('prompt') && controller.abort(reason);
    await expect(report(withoutTokenizer, { signal: controller.signal, onProgress })).rejects.toBe(reason);
  });

  it('stops a section after its time, and still ends', async () => {
    const { prompts, prefill, decode, limits } = await report(withoutTokenizer, { sectionSeconds: 0 });
    expect(prompts).toHaveLength(3);
    for (const prompt of prompts)
      expect(prompt).toMatchObject({ logitsSha256: null, meanLogprob: null, greedyIds: [] });
    expect(prefill).toEqual([]);
    expect(decode).toBeNull();
    expect(limits.read.median).toBeGreaterThan(0);
  });

  it.skipIf(!trained)('has for each text what the model gives for it, and the same on each run', async () => {
    const first = await report(trained);
    const second = await report(trained, { weights: 'mapped' });
    expect(second.prompts).toEqual(first.prompts);
    expect(first.tokenizer).toMatchObject({ isPublished: false });
    expect(first.prefill.map(({ tokens }) => tokens)).toEqual([16, 64, 256]);
    expect(first.decode?.tokens).toBe(64);
    await using grok = await Grok.load(trained, { contextSize: 512 });
    for (const { text, ids, meanLogprob, top, greedyIds, greedyText } of first.prompts) {
      expect(ids).toEqual(grok.tokenizer.encode(text ?? ''));
      const scores = (await grok.score(ids)).slice(1).map(({ logprob }) => logprob ?? 0);
      expect(meanLogprob).toBeCloseTo(scores.reduce((sum, score) => sum + score, 0) / scores.length, 4);
      expect(greedyIds).toHaveLength(16);
      expect(greedyIds[0]).toBe(top[0]?.id);
      const completion = await grok.complete(ids, { temperature: 0, maxTokens: 16, ignoreEos: true });
      expect({ ids: completion.tokenIds, text: completion.text }).toEqual({ ids: greedyIds, text: greedyText });
    }
  });

  it('uses ids without a tokenizer, compares files with a manifest, and names nobody', async () => {
    const path = mkdtempSync(join(tmpdir(), 'grok-report-'));
    cpSync(withoutTokenizer, path, { recursive: true });
    await verify(path, { write: true });
    const found = await report(path, { device: 'cpu', threads: 1 });
    expect(found).toMatchObject({ tokenizer: null, files: { comparedWithManifest: true, ok: true } });
    expect(found.files?.files).toHaveLength(
      readFileSync(join(path, 'SHA256SUMS'), 'utf8').match(/^# size/gm)?.length ?? 0,
    );
    expect(found.prompts.map(({ text, ids }) => [text, ids.length])).toEqual([
      [null, 4],
      [null, 8],
      [null, 12],
    ]);
    const text = JSON.stringify(found);
    const { username, homedir } = userInfo();
    for (const name of [path, hostname(), homedir, process.cwd(), `/${username}`]) expect(text).not.toContain(name);
  });

  it('hashes files without a manifest only on request', async () => {
    const run = (hashes: boolean | undefined) => report(withoutTokenizer, { verify: hashes, sectionSeconds: 0 });
    expect((await run(undefined)).files).toBeNull();
    expect((await run(true)).files).toMatchObject({
      comparedWithManifest: false,
      files: expect.arrayContaining([expect.objectContaining({ name: 'config.json', status: 'ok' })]),
    });
  });
});
