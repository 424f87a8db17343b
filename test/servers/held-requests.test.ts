/** What two front ends answer when one is held up between two of its requests to the back end. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, beforeEach, describe, it, mock } from 'node:test';
import type { PartialConfig } from '../../lib/config/load.ts';
import { drawKey, FeClient } from '../../lib/fe/client.ts';
import { OPCODE } from '../../lib/protocol/messages.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { type FrameProxy, startHeldFe } from '../helpers/frame-proxy.ts';
import { http, httpJson } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

interface Held {
  readonly servers: TestServers;
  readonly client: FeClient;
  /** Its requests to the back end are those that are held. */
  readonly slow: FeClient;
  readonly proxy: FrameProxy;
  /** The port of the front end that is held. */
  readonly port: number;
  close(): Promise<void>;
}

let held: Held;

before(async () => {
  held = await start();
});
after(() => held.close());

async function start(flags: PartialConfig = {}): Promise<Held> {
  const servers = await startServers(flags);
  const { fe, proxy, close } = await startHeldFe(servers);
  const clientOf = (port: number) =>
    new FeClient({ address: { host: '127.0.0.1', port }, attemptsMax: 1 });
  const [client, slow] = [clientOf(servers.fe.port), clientOf(fe.port)];
  return {
    servers,
    client,
    slow,
    proxy,
    port: fe.port,
    async close() {
      client.close();
      slow.close();
      await close();
      await servers.close();
    },
  };
}

describe('a reader that asks twice for a record that can be read once', () => {
  it('finds the one that it claimed, though its first request is late with another', async () => {
    const { client, slow, proxy } = held;
    const reader = randomBytes(16);
    const first = await client.store('replaced', Buffer.from('first'), { once: true });
    const caught = proxy.hold(OPCODE.PUT);
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
    const { client, proxy, port } = held;
    const key = randomBytes(32);
    const first = await client.store('once', Buffer.from('first'), { key, once: true });
    const caught = proxy.hold(OPCODE.PUT);
    const tag = `"${first.revision.toString('hex')}"`;
    const headers = { 'Enc-Record-Key': key.toString('hex'), 'If-Match': tag };
    const reading = http(port, 'GET', '/v1/records/once', { headers });
    const letGo = await caught;
    await client.store('once', Buffer.from('second'), { key, once: true });
    letGo();
    const { status, body } = await reading;
    assert.equal(status, 412, `${body}`);
    assert.equal(`${(await client.retrieve('once', key)).record}`, 'second');
  });
});

describe('a rekey that is sent twice', () => {
  it('succeeds twice, and its old key is no guess', async () => {
    const limited = await start({ feServerConfigs: { wrongKeysPerMinuteMax: 1 } });
    try {
      const { client, slow, proxy } = limited;
      const { key } = await client.store('twice', Buffer.from('kept'));
      const newKey = drawKey();
      const caught = proxy.hold(OPCODE.GET);
      const late = slow.rekey('twice', key, newKey);
      const letGo = await caught;
      const { revision } = await client.rekey('twice', key, newKey);
      letGo();
      assert.ok((await late).revision.equals(revision));
      assert.equal(`${(await slow.retrieve('twice', newKey)).record}`, 'kept');
    } finally {
      await limited.close();
    }
  });
});

describe('a conditional write over HTTP, while another is written', () => {
  const anyone = { 'If-Match': '*' };
  const notOther = { 'If-None-Match': '"other"' };
  const newKey = drawKey().toString('hex');
  for (const [what, method, path, conditions, opcode, status] of [
    ['PUT, If-Match: *', 'PUT', '', anyone, OPCODE.PUT, 200],
    ['PUT, If-None-Match: "other"', 'PUT', '', notOther, OPCODE.PUT, 200],
    ['DELETE, If-Match: *', 'DELETE', '', anyone, OPCODE.REMOVE, 204],
    ['rekey, If-Match: *', 'POST', '/rekey', anyone, OPCODE.PUT, 200],
  ] as const) {
    it(`succeeds, as its conditions hold: ${what}`, async () => {
      const { client, proxy, port } = held;
      const key = drawKey();
      const id = `written${opcode}${status}`;
      await client.store(id, Buffer.from('first'), { key });
      const caught = proxy.hold(opcode);
      const keys = { 'Enc-Old-Key': key.toString('hex'), 'Enc-Record-Key': newKey };
      const headers = { ...conditions, ...(path === '/rekey' ? keys : {}) };
      const writing = http(port, method, `/v1/records/${id}${path}`, { headers });
      const letGo = await caught;
      await client.store(id, Buffer.from('second'), { key });
      letGo();
      const answer = await writing;
      assert.equal(answer.status, status, `${answer.body}`);
    });
  }

  it('is refused with 412 if they hold no more', async () => {
    const { client, proxy, port } = held;
    await client.store('deleted', Buffer.from('first'));
    const caught = proxy.hold(OPCODE.PUT);
    const writing = http(port, 'PUT', '/v1/records/deleted', { headers: anyone, body: 'late' });
    const letGo = await caught;
    await client.delete('deleted');
    letGo();
    assert.equal((await writing).status, 412);
    await rejectsWith(client.head('deleted'), 'NOT_FOUND');
  });
});

describe('items of two front ends', () => {
  const post = async (port: number, id: number) =>
    (await httpJson(port, 'POST', '/data', { id, data: 'x' })).json<{ id: number }>().id;
  beforeEach(() => mock.timers.enable({ apis: ['Date'], now: Date.now() }));
  afterEach(() => mock.timers.reset());

  it('get the ID after the highest of both, once both know whose turn it was', async () => {
    const { servers, close, port } = await start();
    try {
      const other = servers.fe.port;
      assert.deepEqual([await post(port, 1), await post(other, 1)], [1, 2]);
      // The first does not look again so soon, and tells nobody.
      assert.equal(await post(port, 42), 42);
      mock.timers.tick(200);
      assert.equal(await post(other, 1), 43);
    } finally {
      await close();
    }
  });

  it('do so although the highest was long on its way', async () => {
    const { servers, close, port, proxy } = await start();
    try {
      const other = servers.fe.port;
      assert.deepEqual([await post(port, 1), await post(other, 1)], [1, 2]);
      const caught = proxy.hold(OPCODE.PUT);
      const late = post(port, 42);
      const letGo = await caught;
      mock.timers.tick(200);
      assert.equal(await post(other, 1), 3);
      letGo();
      assert.equal(await late, 42);
      assert.equal(await post(other, 1), 43);
    } finally {
      await close();
    }
  });

  it('do so although the highest was given out by whoever has lost the counter', async () => {
    const { servers, close, port, proxy } = await start();
    try {
      const other = servers.fe.port;
      assert.equal(await post(port, 1), 1);
      const farCaught = proxy.hold(OPCODE.PUT);
      const far = post(port, 42);
      const letFarGo = await farCaught;
      // Behind the one that finds its own ID taken.
      const caught = proxy.hold(OPCODE.PUT, 1);
      const next = post(port, 1);
      const letGo = await caught;
      mock.timers.tick(200);
      assert.equal(await post(other, 1), 2);
      letGo();
      assert.equal(await next, 43);
      assert.equal(await post(other, 1), 44);
      letFarGo();
      assert.equal(await far, 42);
    } finally {
      await close();
    }
  });

  it('are answered although the counter is not, which is not waited for again', async () => {
    const { close, port, proxy } = await start({ feServerConfigs: { requestTimeoutMs: 1_000 } });
    try {
      assert.equal(await post(port, 1), 1);
      mock.timers.tick(200);
      proxy.hold(OPCODE.HEAD);
      const again = proxy.hold(OPCODE.GET).then(() => 'the counter is read again');
      assert.equal(await Promise.race([post(port, 2), again]), 2);
    } finally {
      await close();
    }
  });
});
