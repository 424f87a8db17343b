/** Many who write one record at a time, none of whom expects anything of it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { drawKey, FeClient } from '../../lib/fe/client.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { type HttpCall, http } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

const WRITERS = 24;
const ROUNDS = 8;
const RECORD = Buffer.from('x');

let servers: TestServers;

before(async () => {
  // Nobody is to run out of time before his turn comes: how long that takes is up to the machine.
  servers = await startServers({
    feServerConfigs: { writePolicy: 'key-proof', requestTimeoutMs: 150_000 },
    beClientConfigs: { timeoutMs: 150_000 },
  });
});
after(() => servers.close());

/** Sends a request many times at once, and again; resolves to the codes of what was refused. */
async function codesOf(method: string, path: string, call: HttpCall): Promise<string[]> {
  const codes: string[] = [];
  const write = async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const answer = await http(servers.fe.port, method, path, call);
      if (answer.status >= 400) codes.push(`${answer.status} ${answer.body}`);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, write));
  return codes;
}

describe('a record that many write', () => {
  it('is in conflict with none of them', async () => {
    const [key, other] = [drawKey().toString('hex'), drawKey().toString('hex')];
    const path = '/v1/records/hot';
    const put = { headers: { 'Enc-Record-Key': key }, body: 'x' };
    const there = { 'Enc-Old-Key': key, 'Enc-Record-Key': other };
    const back = { 'Enc-Old-Key': other, 'Enc-Record-Key': key };
    const codes = await Promise.all([
      codesOf('PUT', path, put),
      codesOf('POST', '/records', {
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ id: Buffer.from('hot').toString('hex'), key, data: 'ff' }),
      }),
      codesOf('DELETE', path, { headers: { 'Enc-Record-Key': key } }),
      codesOf('POST', `${path}/rekey`, { headers: there }),
      codesOf('POST', `${path}/rekey`, { headers: back }),
    ]);
    // Wrong keys and records that are gone are what the others made; 409 would be about nothing.
    const allowed =
      /^(?:403 .*(?:WRONG_KEY|KEY_REQUIRED|its current key|wrong key)|404 .*NOT_FOUND|503 )/;
    assert.deepEqual(
      [...new Set(codes.flat())].filter((code) => !allowed.test(code)),
      [],
    );
  });

  it('is deleted by its key in the end, though others never stop writing it', async () => {
    const address = { host: '127.0.0.1', port: servers.fe.port };
    const client = new FeClient({ address, attemptsMax: 1 });
    const [key, other] = [drawKey(), drawKey()];
    let isOver = false;
    const write = async () => {
      while (!isOver) await client.store('steady', RECORD, { key });
    };
    await client.store('steady', RECORD, { key });
    const writers = Promise.all(Array.from({ length: WRITERS }, write));
    try {
      for (let round = 0; round < ROUNDS; round++) {
        // Another key never gets there, however often the record changes.
        await rejectsWith(client.delete('steady', { key: other }), 'WRONG_KEY');
        assert.equal(await client.delete('steady', { key }), true);
        await client.store('steady', RECORD, { key });
      }
    } finally {
      isOver = true;
      await writers.finally(() => client.close());
    }
  });
});
