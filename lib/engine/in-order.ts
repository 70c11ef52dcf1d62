import { Abort } from '../abort.js';

/**
 * Runs a task for each item, `mostAtOnce` at a time, and returns the results in order. The first failure aborts the
 * others.
 */
export async function inOrder<Item, Result>(
  items: readonly Item[],
  mostAtOnce: number,
  signal: Abort | undefined,
  task: (item: Item, index: number, signal: Abort) => Promise<Result>,
): Promise<Result[]> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const stopListening = signal?.listen((reason) => controller.abort(reason));
  const results = new Array<Result>(items.length);
  const entries = items.entries(); // shared: each worker takes the next
  const work = async () => {
    for (const [index, item] of entries) results[index] = await task(item, index, Abort.of(controller.signal));
  };
  try {
    await Promise.all(Array.from({ length: Math.min(mostAtOnce, items.length) }, work));
    return results;
  } catch (error) {
    controller.abort(error);
    throw error;
  } finally {
    stopListening?.();
  }
}
