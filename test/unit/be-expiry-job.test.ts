/** What has expired is removed as fast as it expires. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { sweepRegularly } from '../../lib/be/expiry-job.ts';
import { silentLog } from '../../lib/log.ts';
import { openStore } from '../../lib/store/open.ts';
import { recordKey, value } from '../helpers/store-values.ts';

it('one second removes all that has expired until then', { timeout: 10_000 }, async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let nowMs = 1_000;
  const store = await openStore({ kind: 'memory', now: () => nowMs });
  const puts = Array.from({ length: 2_600 }, (_, number) =>
    store.put(recordKey(number), value('x', number < 2_500 ? 2_000 : 3_000)),
  );
  await Promise.all(puts);
  const job = sweepRegularly(store, silentLog);
  nowMs = 2_500;
  t.mock.timers.tick(1_000);
  while ((await store.stats()).records > 100) await delay(1, undefined, { signal: t.signal });
  assert.equal((await store.get(recordKey(2_599)))?.body?.toString(), 'x');
  nowMs = 3_000;
  t.mock.timers.tick(1_000);
  while ((await store.stats()).records > 0) await delay(1, undefined, { signal: t.signal });
  job.stop();
  await store.close();
});
