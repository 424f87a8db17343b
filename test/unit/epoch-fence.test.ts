import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EpochFence } from '../../lib/be/epoch-fence.ts';

const stale = { code: 'STALE_EPOCH' };

test('lets in the newest epoch alone, and an older one never raises it', async () => {
  const fence = new EpochFence();
  await fence.raise(3);
  fence.check(3);
  assert.throws(() => fence.check(2), stale);
  assert.throws(() => fence.check(4), stale);
  await fence.raise(2);
  assert.equal(fence.epoch, 3);
});

test('takes a newer epoch once the writes of older ones are done', async () => {
  const fence = new EpochFence();
  await fence.raise(1);
  fence.enter();
  fence.enter();
  const order: string[] = [];
  const raised = [fence.raise(2), fence.raise(2), fence.raise(3)].map(async (raising, index) => {
    await raising;
    order.push(`raised ${index}`);
  });
  for (const epoch of [1, 2, 3]) assert.throws(() => fence.check(epoch), stale);
  fence.leave();
  await new Promise(setImmediate);
  order.push('left');
  fence.leave();
  await Promise.all(raised);
  assert.deepEqual(order, ['left', 'raised 0', 'raised 1', 'raised 2']);
  fence.check(3);
  fence.enter();
  fence.leave();
  fence.check(3);
});
