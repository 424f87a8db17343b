/** What MongoDB's refusals to write leave behind: `lib/store/mongo-refusals.ts`. */
import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { MongoNetworkError, MongoServerError } from 'mongodb';
import { MongoRefusals } from '../../lib/store/mongo-refusals.ts';

describe('refused writes', () => {
  it('are told, once, until a write succeeds', async () => {
    const logged: string[] = [];
    const refusals = new MongoRefusals((level, message, facts) =>
      logged.push(`${level} ${message} ${facts?.['code']}`),
    );
    const fails = (error: unknown) => refusals.watch(Promise.reject(error)).catch(() => undefined);
    await fails(new MongoNetworkError('lost'));
    await fails({ writeErrors: [{ index: 0, code: 11000 }] });
    assert.equal(refusals.reason, undefined);
    await fails({ writeErrors: [{ index: 0, code: 14031 }] });
    assert.equal(refusals.reason, 'MongoDB refuses writes (14031)');
    assert.equal(await refusals.watch(Promise.resolve(7)), 7);
    assert.equal(refusals.reason, undefined);
    await fails(new MongoServerError({ ok: 0, code: 14031 }));
    assert.equal(refusals.reason, 'MongoDB refuses writes (14031)');
    await refusals.watch(Promise.resolve());
    await fails(new MongoServerError({ index: 0, code: 14031 }));
    assert.equal(refusals.reason, 'MongoDB refuses writes (14031)');
    for (let time = 0; time < 2; time++) await fails(Object.assign(new Error(), { code: 13 }));
    assert.equal(refusals.reason, 'MongoDB refuses writes (13)');
    assert.equal(await refusals.watch(Promise.resolve(7)), 7);
    assert.equal(refusals.reason, undefined);
    const refused = 'error MongoDB refuses writes';
    const again = 'info MongoDB takes writes again undefined';
    const full = `${refused} 14031`;
    assert.deepEqual(logged, [full, again, full, again, full, `${refused} 13`, again]);
  });

  it('are told again once half a minute has passed without one', async () => {
    let nowMs = 0;
    mock.method(performance, 'now', () => nowMs);
    try {
      let told = 0;
      const refusals = new MongoRefusals(() => told++);
      for (const ms of [0, 20_000, 45_000, 76_000]) {
        nowMs = ms;
        const failing = Promise.reject(new MongoServerError({ ok: 0, code: 13 }));
        await assert.rejects(refusals.watch(failing));
        assert.equal(refusals.reason, 'MongoDB refuses writes (13)');
        assert.equal(told, ms < 76_000 ? 1 : 2);
      }
    } finally {
      mock.restoreAll();
    }
  });
});
