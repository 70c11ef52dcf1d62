import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { Abort } from '../../../../lib/abort.js';
import { EncodingThread } from '../../../../lib/text/sentencepiece/encoding-thread.js';
import { Tokenizer } from '../../../../lib/text/tokenizer.js';
import { smallModel } from '../tokenizer-cases.js';

let tokenizer: Tokenizer;
let bytes: Uint8Array<SharedArrayBuffer>;

beforeAll(async () => {
  tokenizer = await Tokenizer.load(smallModel);
  const file = readFileSync(smallModel);
  bytes = new Uint8Array(new SharedArrayBuffer(file.length));
  bytes.set(file);
});

const numThreads = () => Number(/Threads:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

describe('the thread for texts that cannot be cut', () => {
  it('gives each of many texts its own ids, and is one thread', async () => {
    const thread = new EncodingThread(bytes);
    await thread.encode('a');
    const threads = numThreads();
    const texts = Array.from({ length: 60 }, (_, index) => ' '.repeat(4000) + 'a'.repeat(index));
    const answers = Promise.all(texts.map((text) => thread.encode(text)));
    await sleep(50);
    expect(numThreads()).toBeLessThanOrEqual(threads);
    expect(await answers).toEqual(texts.map((text) => tokenizer.encode(text)));
  });

  it('rejects a text that waits at once when it is aborted, and no other', async () => {
    const thread = new EncodingThread(bytes);
    const controller = new AbortController();
    const running = thread.encode('a'.repeat(50_000));
    const waiting = thread.encode('b', Abort.of(controller.signal));
    const last = thread.encode('c');
    controller.abort('no more');
    await expect(waiting).rejects.toBe('no more');
    expect(await running).toEqual(tokenizer.encode('a'.repeat(50_000)));
    expect(await last).toEqual(tokenizer.encode('c'));
  });

  it('ends within a text that is aborted, and encodes those that waited behind it', async () => {
    const thread = new EncodingThread(bytes);
    const controller = new AbortController();
    const endless = thread.encode('a'.repeat(30_000_000), Abort.of(controller.signal));
    const waiting = Promise.all([thread.encode('b'), thread.encode('c')]);
    await sleep(300);
    controller.abort('no more');
    await expect(endless).rejects.toBe('no more');
    expect(await waiting).toEqual([tokenizer.encode('b'), tokenizer.encode('c')]);
  });

  it('says what to do when no thread can be started, for each text that had none', async () => {
    const thread = new EncodingThread(bytes);
    const refused = Object.assign(new Error('Worker initialization failure: EAGAIN'), {
      code: 'ERR_WORKER_INIT_FAILED',
    });
    const start = vi.spyOn(Worker.prototype, 'ref').mockImplementation(() => {
      throw refused;
    });
    const answers = await Promise.allSettled([thread.encode('a'), thread.encode('b')]);
    start.mockRestore();
    for (const answer of answers) {
      expect(answer).toMatchObject({
        status: 'rejected',
        reason: { code: 'GROK_OUT_OF_MEMORY', hint: expect.stringContaining('pids.max'), cause: refused },
      });
    }
    expect(await thread.encode('c')).toEqual(tokenizer.encode('c'));
  });

  it('gives the text of a thread that died an error, and the next text a new thread', async () => {
    const thread = new EncodingThread(bytes);
    const terminate = vi.spyOn(Worker.prototype, 'postMessage').mockImplementationOnce(function (this: Worker) {
      void this.terminate();
    });
    const lost = thread.encode('a');
    const next = thread.encode('b');
    await expect(lost).rejects.toMatchObject({ code: 'GROK_INTERNAL', message: expect.stringMatching(/code \d/) });
    terminate.mockRestore();
    expect(await next).toEqual(tokenizer.encode('b'));
  });

  it('lets the process exit once no text waits', () => {
    const program = `
      const { Tokenizer } = await import(${JSON.stringify(new URL('../../../../dist/lib/index.js', import.meta.url).href)});
      const tokenizer = await Tokenizer.load(${JSON.stringify(smallModel)});
      console.log((await tokenizer.encodeAsync('a'.repeat(3100))).length);
    `;
    const started = performance.now();
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
    expect(Number(printed)).toBe(tokenizer.encode('a'.repeat(3100)).length);
    expect(performance.now() - started).toBeLessThan(20_000);
  });
});
