/** What is set for a front end, divided among its workers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig, type PartialConfig } from '../../lib/config/load.ts';
import { workerShare } from '../../lib/config/worker-share.ts';
import { rejectsWith } from '../helpers/codes.ts';

const load = async (feServerConfigs: PartialConfig['feServerConfigs']) =>
  (await loadConfig({ env: {}, flags: { feServerConfigs } })).config;

test('one worker unless more are asked for', async () => {
  assert.equal((await load({})).feServerConfigs.workers, 1);
  for (const workers of ['0', '65', 'many']) {
    const error = await rejectsWith(load({ workers }), 'BAD_CONFIG');
    assert.match(error.message, /feServerConfigs\.workers: expected a whole number from 1 to 64/);
  }
});

test('what a process holds and does is divided, to the last one; the rest is for all', async () => {
  const bounds = { requestsMax: 10, bytesInFlightMax: '64MiB', handshakesMax: 5 };
  const whole = await load({ workers: 3, ...bounds, connectionsMax: 7, requestsPerSecondMax: 9 });
  const shares = [1, 2, 3].map((worker) => workerShare(whole, worker));
  const of = (key: 'requestsMax' | 'bytesInFlightMax' | 'handshakesMax') =>
    shares.map(({ feServerConfigs }) => feServerConfigs[key]);
  assert.deepEqual(of('requestsMax'), [4, 3, 3]);
  assert.deepEqual(of('handshakesMax'), [2, 2, 1]);
  assert.equal(
    of('bytesInFlightMax').reduce((sum, bytes) => sum + bytes, 0),
    whole.feServerConfigs.bytesInFlightMax,
  );
  for (const { feServerConfigs, beServerConfigs } of shares) {
    const { requestsMax, bytesInFlightMax, handshakesMax, ...rest } = feServerConfigs;
    assert.deepEqual({ ...whole.feServerConfigs, ...rest }, whole.feServerConfigs);
    assert.deepEqual(beServerConfigs, whole.beServerConfigs);
  }
});

test('a worker that could not hold the longest record, or do anything, is none', async () => {
  // A line of the longest record has 11,250,348 bytes.
  await load({ workers: 2, bytesInFlightMax: 2 * 11_250_348 });
  for (const wrong of [
    { workers: 2, bytesInFlightMax: 2 * 11_250_348 - 1 },
    { workers: 3, requestsMax: 2 },
    { workers: 3, handshakesMax: 2 },
  ]) {
    const error = await rejectsWith(load(wrong), 'BAD_CONFIG');
    assert.match(error.message, /feServerConfigs\.workers: expected so few that/);
  }
});
