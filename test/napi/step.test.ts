import { describe, expect, it } from 'vitest';
import type { NativeOpenOptions } from '../../lib/addon/types.js';
import { openLoaded, requestFor, stepOf } from './small_model.js';

describe('the addon', () => {
  it('hands over logits, log-probabilities and tokens of one sequence and the same numbers in company', async () => {
    const model = await openLoaded({ prefillChunk: 3 });
    const scored = await model.submit(requestFor([1, 5, 7, 9], { promptOutputs: 'logprobs', numLogprobs: 2 }));
    const whole = await model.submit(requestFor([1, 5, 7, 9], { promptOutputs: 'logits', maxTokens: 0 }));
    const rows: Float32Array[] = [];
    const prompt: { token: number; logprob: number }[] = [];
    const finished = new Map<number, string>();
    while (finished.size < 2)
      for (const output of await stepOf(model, scored, whole)) {
        if (output.finish !== 'no') finished.set(output.sequence, output.finish);
        if (output.logits) rows.push(output.logits);
        prompt.push(...output.prompt);
        if (output.token) expect(output.token.topTokens).toHaveLength(2);
        if (output.sequence === scored && output.token) expect(output.token.token).toBe(output.token.topTokens[0]);
      }
    expect(finished.get(whole)).toBe('length');
    const logits = Float32Array.from(rows.flatMap((part) => [...part]));
    expect(logits).toHaveLength(4 * 512);
    expect(prompt.map(({ token }) => token)).toEqual([5, 7, 9]);
    prompt.forEach(({ token, logprob }, position) => {
      const row = logits.subarray(position * 512, (position + 1) * 512);
      const sum = row.reduce((total, value) => total + Math.exp(value), 0);
      expect(logprob).toBeCloseTo((row[token] ?? Number.NaN) - Math.log(sum), 4); // single precision of values near 20
    });
    await model.close();
  });

  it('generates with every type of key-value cache', async () => {
    const logitsOf = async (kvCacheType: NativeOpenOptions['kvCacheType']) => {
      const model = await openLoaded({ kvCacheType });
      const sequence = await model.submit(requestFor([1, 2, 3, 4, 5], { maxTokens: 0, promptOutputs: 'logits' }));
      const [output] = await stepOf(model, sequence);
      await model.close();
      return Array.from(output?.logits ?? []);
    };
    const f32 = await logitsOf('f32');
    const most = Math.max(...f32.map(Math.abs));
    for (const kvCacheType of ['bf16', 'int8'] as const) {
      const found = await logitsOf(kvCacheType);
      const furthest = Math.max(...f32.map((logit, index) => Math.abs(logit - (found[index] ?? Number.NaN))));
      expect(furthest).toBeGreaterThan(0); // otherwise the type was not used
      expect(furthest).toBeLessThan(0.03 * most);
    }
  });

  it('runs in a step the sequences that are runnable when it begins, not when it was called', async () => {
    const model = await openLoaded();
    const [first, second] = [await model.submit(requestFor([1, 2])), await model.submit(requestFor([3, 4]))];
    const [running, waiting] = [stepOf(model, first), model.step()];
    model.setRunnable(Float64Array.of(second));
    const last = model.step();
    expect((await running).length).toBe(1);
    const [meanwhile] = await waiting;
    expect([first, second]).toContain(meanwhile?.sequence); // it may have begun before the change
    expect(await last).toMatchObject([{ sequence: second }]);
    model.setRunnable(new Float64Array());
    expect(await model.step()).toEqual([]);
    await model.close();
  });

  it('ends a step early when its only sequence is released, and goes on with others', async () => {
    const model = await openLoaded();
    const dropped = await model.submit(requestFor([1, 2, 3]));
    const kept = await model.submit(requestFor([1, 2, 3]));
    const step = stepOf(model, dropped);
    await model.release(dropped);
    expect((await step).length).toBeLessThanOrEqual(1); // it may have finished first
    expect(await stepOf(model, dropped)).toEqual([]);
    expect(await stepOf(model, dropped, kept)).toMatchObject([{ sequence: kept, promptTokensDone: 3 }]);
    await model.close();
  });
});
