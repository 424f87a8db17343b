/** How a front end speaks to the back ends of the family when something takes too long or is gone. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { openFamilyBackEnd } from '../../lib/be/family-back-end.ts';
import { type FamilyBe, startGoV1Be, startGoV2Be, startPythonBe } from '../helpers/family.ts';

const key = Buffer.alloc(27, 7);
const callTo = ({ port }: FamilyBe) => {
  return { address: { host: '127.0.0.1', port }, token: undefined, tls: undefined };
};

for (const [dialect, start] of [
  ['go-v1', startGoV1Be],
  ['python', startPythonBe],
] as const) {
  it(`${dialect}: takes the answer that its caller gave up, and asks one at a time`, async () => {
    let asked = 0;
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const be = await start(0, () => {
      asked++;
      return released;
    });
    const link = await openFamilyBackEnd(dialect, callTo(be), 10_000);
    const gone = { code: 'UNAVAILABLE' };
    await assert.rejects(link.get(key, 100, { timeoutMs: 500 }), gone);
    // Its turn never comes, as the first one is still owed its answer; so it is not sent.
    await assert.rejects(link.get(key, 100, { timeoutMs: 100 }), { code: 'TIMEOUT' });
    assert.equal(asked, 1);
    const third = link.get(key, 100);
    release();
    await assert.rejects(third, { code: 'NOT_FOUND' });
    assert.equal(be.broken(), undefined);
    link.close();
    await be.close();
  });
}

it('go-v2: what the gRPC library says is not told as words of the back end', async () => {
  const be = await startGoV2Be();
  await be.close();
  const link = await openFamilyBackEnd('go-v2', callTo(be), 10_000);
  const message = 'the back end: it cannot be reached';
  await assert.rejects(link.get(key, 100), { code: 'UNAVAILABLE', message });
  link.close();
});
