/** Groups with a bounded number of items and of bytes, whichever is reached first. */

const COUNT_MAX = 32;
/** Bounded so that a few large records fill neither this process nor the back end. */
const BYTES_MAX = 16 * 1024 * 1024;

/** Groups of items, in order; an item larger than the bound forms a group of its own. */
export async function* groupsOf<T>(
  items: AsyncIterable<T> | Iterable<T>,
  bytesOf: (item: T) => number,
): AsyncGenerator<T[]> {
  let group: T[] = [];
  let bytes = 0;
  for await (const item of items) {
    if (group.length === COUNT_MAX || (group.length > 0 && bytes + bytesOf(item) > BYTES_MAX)) {
      yield group;
      group = [];
      bytes = 0;
    }
    group.push(item);
    bytes += bytesOf(item);
  }
  if (group.length > 0) yield group;
}
