/** A store that comes back as another one. */
import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import { BeService } from '../../lib/be/service.ts';
import { Budget } from '../../lib/net/budget.ts';
import { RequestContext } from '../../lib/net/request.ts';
import { OWN_SESSION } from '../../lib/net/session.ts';
import { DEFAULT_LIMITS } from '../../lib/protocol/limits.ts';
import { META_KEYS, readKeyring } from '../../lib/store/meta.ts';
import { openStore } from '../../lib/store/open.ts';
import { until } from '../helpers/programs.ts';
import {
  patternBytes,
  recordKey,
  rejectsWith,
  value,
  withFolder,
} from '../helpers/store-values.ts';

const BODY_BYTES = 8 * 1024 * 1024;

it('is refused at a HELLO, if it was put in the place of the one before', async () => {
  const store = await openStore({ kind: 'memory' });
  const service = new BeService(store, new Budget(1024), DEFAULT_LIMITS);
  const mark = { keyringId: Buffer.alloc(16, 1), epoch: 1 };
  const hello = () =>
    service.hello({ epoch: undefined }, mark, new RequestContext(OWN_SESSION, 10_000));
  const kept = await store.confirmId();
  // As a dropped database, in which nothing is; no front end was there before.
  const drop = () => Promise.all(META_KEYS.map((key) => store.delete(key)));
  const facts = await Promise.all(META_KEYS.map((key) => store.get(key)));
  await drop();
  await rejectsWith(hello(), 'STORE_DAMAGED');
  for (const key of META_KEYS) assert.equal(await store.head(key), undefined);
  for (const [index, fact] of facts.entries()) {
    if (fact?.body) await store.put(META_KEYS[index] as Buffer, { ...fact, body: fact.body });
  }
  assert.deepEqual((await hello()).storeId, kept);
  await drop();
  await rejectsWith(hello(), 'STORE_DAMAGED');
  assert.equal(await readKeyring(store), undefined);
  await store.close();
});

it('is not adopted in place of the one before, which is, once it is back', async () => {
  await withFolder(async (folder) => {
    const [ours, others] = [join(folder, 'ours'), join(folder, 'others')];
    const options = { kind: 'level', reserveBytes: 4096 } as const;
    await (await openStore({ ...options, folder: others })).close();
    const logged: string[] = [];
    const store = await openStore({
      ...options,
      folder: ours,
      log: (_level, message, facts) => logged.push(`${message}: ${facts?.['reason']}`),
    });
    try {
      await store.put(recordKey(0), value('kept'));
      const [database, away] = [join(ours, 'db'), join(folder, 'away')];
      await rename(database, away);
      // It fails where LevelDB begins another log.
      for (let number = 1; store.health().ok; number++) {
        const put = store.put(recordKey(number), value(patternBytes(BODY_BYTES, number)));
        await put.catch(() => undefined);
      }
      await rename(join(others, 'db'), database);
      const isTold = () => logged.some((line) => /another than before/.test(line)) || undefined;
      await until('the refusal', isTold);
      await rejectsWith(store.get(recordKey(0)), 'UNAVAILABLE');
      await rename(database, join(others, 'db'));
      await rename(away, database);
      await until('a healthy store', () => store.health().ok || undefined);
      assert.equal((await store.get(recordKey(0)))?.body?.toString(), 'kept');
    } finally {
      await store.close();
    }
  });
});
