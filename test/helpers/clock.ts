/** The clock by which the bounds of callers fill up again. */
import type { TestContext } from 'node:test';

/** It stands still for the rest of the test, so that none is given back however long that takes. */
export function stopClock(t: TestContext): void {
  const nowMs = performance.now();
  t.mock.method(performance, 'now', () => nowMs);
}
