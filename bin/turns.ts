import { setImmediate } from 'node:timers/promises';

const itemsATurn = 4096;

/** Hands items out in parts and gives signals their turn between them: Ctrl+C ends work of any length at once. */
export async function* inTurns<Item>(items: Iterable<Item>): AsyncGenerator<readonly Item[]> {
  let part: Item[] = [];
  for (const item of items) {
    if (part.push(item) < itemsATurn) continue;
    yield part;
    part = [];
    await setImmediate();
  }
  yield part;
}
