/** What a back end reads from the snapshots that it lends, against its budget of bytes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';
import { Snapshots } from '../../lib/be/snapshots.ts';
import { Budget } from '../../lib/net/budget.ts';
import { openStore } from '../../lib/store/open.ts';
import { TABLE } from '../../lib/store/store.ts';
import { rejectsWith } from '../helpers/codes.ts';

const MIB = 1024 * 1024;

it('a lent snapshot gives out large bodies as there is room, and none that is not taken', async () => {
  const store = await openStore({ kind: 'memory' });
  const keys = Array.from({ length: 12 }, (_, number) => Buffer.of(TABLE.FOREIGN, number));
  const body = randomBytes(MIB);
  for (const key of keys) await store.put(key, { head: Buffer.alloc(0), body, expiryMs: 0 });
  let [underWay, most] = [0, 0];
  const snapshot = await store.snapshot();
  const counted = {
    async get(key: Buffer, bodyBytesMax = Number.POSITIVE_INFINITY) {
      const bytes = bodyBytesMax < MIB ? 0 : MIB;
      underWay += bytes;
      most = Math.max(most, underWay);
      return await snapshot.get(key, bodyBytesMax).finally(() => {
        underWay -= bytes;
      });
    },
    scan: snapshot.scan.bind(snapshot),
    close: snapshot.close.bind(snapshot),
  };
  const budget = new Budget(3 * MIB);
  const lent = new Snapshots({ snapshot: async () => counted }, budget);
  const context = {
    caller: { require: () => undefined },
    deadlineMs: performance.now() + 60_000,
    signal: new AbortController().signal,
  } as never;
  const lease = await lent.open(context);
  const found = await Promise.all(keys.map((key) => lent.get(lease, key, MIB, context)));
  assert.ok(found.every((one) => one.body?.equals(body)));
  assert.equal(most, 3 * MIB);
  assert.equal(budget.inUseBytes, 0);
  await rejectsWith(lent.get(lease, keys[0] as Buffer, MIB - 1, context), 'LARGE');
  await rejectsWith(lent.get(lease, Buffer.of(TABLE.FOREIGN), MIB, context), 'INVALID_FIELD');
  await lent.closeAll();
  await store.close();
});
