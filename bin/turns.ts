import { setImmediate } from 'node:timers/promises';

const itemsATurn = 4096;

/** Yields items in parts, with a turn of the event loop between two parts, so that Ctrl+C ends long work at once. */
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
