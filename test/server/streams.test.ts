import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { eventsOf, post, startServer } from './service.js';

const prompts = ['Once upon a time', 'The dog ran to the', 'One day, a girl named', 'Tom had a big red'];
const numStreams = 64;

/** The text of choice 0. */
function textOf(events: readonly string[]): string {
  expect(events.at(-1)).toBe('[DONE]');
  return events
    .slice(0, -1)
    .map((event) => (JSON.parse(event) as { choices: { text: string }[] }).choices[0]?.text ?? '')
    .join('');
}

it('64 streams at once each equal their solo run, beside clients that leave, err and read slowly', async () => {
  await using service = await startServer({}, { maxSequences: 64 });
  const url = `${service.url}/v1/completions`;
  const bodyOf = (index: number) => ({
    prompt: prompts[index % prompts.length],
    seed: index,
    temperature: 1,
    max_tokens: 48,
    stream: true,
  });
  const solo: string[] = [];
  for (let index = 0; index < numStreams; index++) solo.push(textOf(await eventsOf(await post(url, bodyOf(index)))));

  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const outcomes = await Promise.all(
    Array.from({ length: numStreams }, async (_, index) => {
      if (index % 20 === 7) {
        const { status } = await post(url, { ...bodyOf(index), top_p: 2 }); // 5 %
        return `status ${status}`;
      }
      const controller = new AbortController();
      const response = await post(url, bodyOf(index), { signal: controller.signal });
      expect(response.status).toBe(200);
      if (index % 10 === 3) {
        await response.body?.getReader().read(); // 10 %
        controller.abort();
        return 'left';
      }
      if (index % 50 === 5) await setTimeout(300); // 2 %
      return textOf(await eventsOf(response));
    }),
  );
  delay.disable();
  console.log(`event-loop delay p99 ${(delay.percentile(99) / 1e6).toFixed(1)} ms, client and server in one process`);
  for (const [index, outcome] of outcomes.entries()) {
    if (index % 20 === 7) expect(outcome).toBe('status 400');
    else if (index % 10 === 3) expect(outcome).toBe('left');
    else expect([index, outcome]).toEqual([index, solo[index]]);
  }
  await expect.poll(() => service.grok.stats().running + service.grok.stats().waiting, { timeout: 20_000 }).toBe(0);
});
