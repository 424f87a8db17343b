/** A LevelDB store whose folder comes back as another one. */
import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
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
