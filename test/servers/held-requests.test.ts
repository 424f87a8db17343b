/** What two front ends answer when one is held up between two of its requests to the back end. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { FeClient } from '../../lib/fe/client.ts';
import { OPCODE } from '../../lib/protocol/messages.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { startHeldFe } from '../helpers/frame-proxy.ts';
import { http } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

let servers: TestServers;
let held: Awaited<ReturnType<typeof startHeldFe>>;
let client: FeClient;
/** Its requests are those that are held. */
let slow: FeClient;

before(async () => {
  servers = await startServers();
  held = await startHeldFe(servers);
  const clientOf = (port: number) =>
    new FeClient({ address: { host: '127.0.0.1', port }, attemptsMax: 1 });
  client = clientOf(servers.fe.port);
  slow = clientOf(held.fe.port);
});
after(async () => {
  client.close();
  slow.close();
  await held.close();
  await servers.close();
});

describe('a reader that asks twice for a record that can be read once', () => {
  it('finds the one that it claimed, though its first request is late with another', async () => {
    const reader = randomBytes(16);
    const first = await client.store('replaced', Buffer.from('first'), { once: true });
    const caught = held.proxy.hold(OPCODE.PUT);
    const late = slow.retrieve('replaced', first.key, { reader });
    const letGo = await caught;
    const second = await client.store('replaced', Buffer.from('second'), { once: true });
    const read = async () =>
      `${(await client.retrieve('replaced', second.key, { reader })).record}`;
    assert.equal(await read(), 'second');
    letGo();
    await rejectsWith(late, 'WRONG_KEY');
    assert.equal(await read(), 'second');
  });
});

describe('a conditional read over HTTP', () => {
  it('claims no record but that of its condition, when another is stored meanwhile', async () => {
    const key = randomBytes(32);
    const first = await client.store('once', Buffer.from('first'), { key, once: true });
    const caught = held.proxy.hold(OPCODE.PUT);
    const tag = `"${first.revision.toString('hex')}"`;
    const headers = { 'Enc-Record-Key': key.toString('hex'), 'If-Match': tag };
    const reading = http(held.fe.port, 'GET', '/v1/records/once', { headers });
    const letGo = await caught;
    await client.store('once', Buffer.from('second'), { key, once: true });
    letGo();
    const { status, body } = await reading;
    assert.equal(status, 412, `${body}`);
    assert.equal(`${(await client.retrieve('once', key)).record}`, 'second');
  });
});
