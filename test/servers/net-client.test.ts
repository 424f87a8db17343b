/** Cancelling, going away, closing: what becomes of a client's connections. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { EncServerError } from '../../lib/errors.ts';
import { FeClient, parseAddress } from '../../lib/fe/client.ts';
import { Fields } from '../../lib/protocol/fields.ts';
import { encodeReply, encodeRequest, type Frame } from '../../lib/protocol/frame.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { DONE, KEY, onlyOnce, refuses, withFake, words } from '../helpers/fake-client.ts';
import { type FakePeer, FakeServer, type Script } from '../helpers/fake-server.ts';
import { until } from '../helpers/wire.ts';

test('a request says how long its caller waits', async () => {
  await withFake(
    onlyOnce((request, peer) => peer.reply(request)),
    async (client, fake) => {
      await client.ping({ timeoutMs: 4_000 });
      const waits = Fields.decode(fake.requests[0]?.fieldBytes ?? KEY).u32(FIELD.TIMEOUT) ?? 0;
      assert.ok(waits > 1_000 && waits <= 4_000, `${waits}`);
    },
  );
});

test('an AbortSignal ends the call at once, and the server is told', async () => {
  await withFake(
    () => undefined,
    async (client, fake) => {
      const caller = new AbortController();
      const call = client.ping({ signal: caller.signal });
      await until(() => fake.requests.length === 1);
      caller.abort();
      await rejectsWith(call, 'CANCELLED');
      await until(() => fake.requests.length === 2);
      const [ping, cancel] = fake.requests as [Frame, Frame];
      assert.equal(cancel.code, OPCODE.CANCEL);
      assert.notEqual(cancel.requestId, ping.requestId);
      assert.equal(Fields.decode(cancel.fieldBytes).u32(FIELD.TARGET), ping.requestId);
    },
  );
});

test('a signal that is aborted already sends nothing', async () => {
  await withFake(
    () => assert.fail(),
    async (client, fake) => {
      await rejectsWith(client.ping({ signal: AbortSignal.abort() }), 'CANCELLED');
      assert.equal(fake.connections, 0);
    },
  );
});

test('a signal ends the pause before the next attempt', async () => {
  const caller = new AbortController();
  const script: Script = (request, peer) => {
    refuses('OVERLOADED')(request, peer);
    setTimeout(() => caller.abort(), 5);
  };
  await withFake(script, async (client) => {
    await rejectsWith(client.ping({ signal: caller.signal }), 'CANCELLED');
  });
});

test('the late reply to a request that was taken back is dropped', async () => {
  const held: [Frame, FakePeer][] = [];
  const script: Script = (request, peer) => {
    if (request.code === OPCODE.CANCEL) for (const [one, to] of held) to.reply(one);
    else if (held.length === 0) held.push([request, peer]);
    else peer.reply(request);
  };
  await withFake(script, async (client, fake) => {
    const caller = new AbortController();
    const call = client.ping({ signal: caller.signal });
    await until(() => held.length === 1);
    caller.abort();
    await rejectsWith(call, 'CANCELLED');
    await client.ping();
    assert.equal(fake.connections, 1);
  });
});

test('after GOAWAY what is under way is answered, and what comes goes elsewhere', async () => {
  let first: [Frame, FakePeer] | undefined;
  const script: Script = (request, peer) => {
    if (first !== undefined) {
      peer.reply(request, DONE);
      return;
    }
    first = [request, peer];
    peer.goAway();
  };
  await withFake(
    script,
    async (client, fake) => {
      const slow = client.delete('alice');
      await until(() => first !== undefined);
      // The GOAWAY was sent before anything else could be answered.
      await new Promise((resolve) => setTimeout(resolve, 20));
      await client.delete('bob');
      first?.[1].reply(first[0], DONE);
      await slow;
      assert.equal(fake.connections, 2);
      await until(() => first?.[1].socket.destroyed === true);
    },
    { connections: 2 },
  );
});

test('an error against the whole connection is meant for the only request on it', async () => {
  const script: Script = (_request, peer) => {
    peer.refuse(0, words('FRAME_TOO_LARGE'));
    peer.socket.end();
  };
  await withFake(script, async (client, fake) => {
    await rejectsWith(client.store('alice', KEY), 'FRAME_TOO_LARGE');
    assert.equal(fake.requests.length, 1);
  });
});

test('OVERLOADED against the whole connection is sent again on another one', async () => {
  const script: Script = (request, peer) => {
    if (peer.number > 1) {
      peer.reply(request, DONE);
      return;
    }
    peer.refuse(0, words('OVERLOADED'));
    peer.socket.end();
  };
  await withFake(script, async (client, fake) => {
    await Promise.all([client.delete('a'), client.delete('b')]);
    assert.equal(fake.connections, 2);
  });
});

test('what is no frame breaks the connection, and leaves a write unknown', async () => {
  const script: Script = (_request, peer) => peer.socket.write('HTTP/1.1 400 Bad Request\r\n');
  await withFake(script, async (client) => {
    await rejectsWith(client.ping(), 'FRAME_TOO_LARGE');
    await rejectsWith(client.delete('alice'), 'UNKNOWN_OUTCOME');
  });
});

test('a reply to no request breaks the connection', async () => {
  const script: Script = (request, peer) => peer.reply({ ...request, requestId: 999 });
  await withFake(script, async (client) => {
    await rejectsWith(client.ping(), 'BAD_FRAME');
  });
});

test("a server's words cannot write on a terminal", async () => {
  const script: Script = (request, peer) =>
    peer.refuse(request.requestId, new EncServerError('NOT_FOUND', 'a\u001b[2Jb\r\nc'));
  await withFake(script, async (client) => {
    const { message } = await rejectsWith(client.ping(), 'NOT_FOUND');
    assert.doesNotMatch(message, /\p{Cc}/u);
  });
});

test('a record that no frame can hold is refused before it is sent', async () => {
  await withFake(
    () => assert.fail(),
    async (client) => {
      const large = client.store('alice', Buffer.alloc(16 * 1024 * 1024));
      await rejectsWith(large, 'FRAME_TOO_LARGE');
    },
  );
  await withFake(
    (request, peer) => peer.reply(request, DONE),
    async (client) => {
      const large = client.store('alice', Buffer.alloc(16 * 1024 * 1024));
      await rejectsWith(large, 'FRAME_TOO_LARGE');
      await client.store('alice', KEY);
    },
  );
});

test('one impatient caller does not break the connection of the patient', async () => {
  const script: Script = (request, peer) => {
    if (request.body.length > 0) setTimeout(() => peer.reply(request, DONE), 150);
  };
  await withFake(script, async (client, fake) => {
    const patient = client.store('alice', KEY, { timeoutMs: 5_000 });
    await until(() => fake.requests.length === 1);
    await rejectsWith(client.ping({ timeoutMs: 30 }), 'TIMEOUT');
    await patient;
    assert.equal(fake.connections, 1);
  });
});

test('a closed client lets what is under way finish, and takes nothing new', async () => {
  let release: () => void = () => undefined;
  const script: Script = (request, peer) => {
    release = () => peer.reply(request);
  };
  await withFake(script, async (client, fake) => {
    const call = client.ping();
    await until(() => fake.requests.length === 1);
    client.close();
    await rejectsWith(client.ping({ timeoutMs: 50 }), 'UNAVAILABLE');
    release();
    await call;
  });
});

test('a closed client does not wait for the server to close', async () => {
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const client = new FeClient({ address: { host: '127.0.0.1', port } });
  const call = client.ping({ timeoutMs: 5_000 });
  const [request] = (await once(server, 'connection')) as [Socket];
  request.on('data', (bytes: Buffer) => {
    const id = bytes.readUInt32BE(8);
    for (const part of encodeReply(0, id, [])) request.write(part);
  });
  await call;
  client.close();
  await once(request, 'end');
  // Ours stays open; only a socket that is gone answers with a reset.
  const reset = once(request, 'error');
  const goAway = Buffer.concat(encodeRequest(OPCODE.GOAWAY, 0, []));
  const timer = setInterval(() => request.write(goAway), 5);
  assert.match(`${(await reset)[0].code}`, /ECONNRESET|EPIPE/);
  clearInterval(timer);
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

test('a client that is closed while it connects still sends what was asked before', async () => {
  await withFake(
    (request, peer) => peer.reply(request, DONE),
    async (client, fake) => {
      const call = client.store('alice', KEY);
      client.close();
      await rejectsWith(client.ping(), 'UNAVAILABLE');
      await call;
      await until(() => fake.open === 0);
    },
  );
});

test('a client that is closed while it connects waits no longer than its callers', async () => {
  // Accepts nothing: the queue of the kernel answers, nobody else.
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const be = new BeClient({
    address: { host: '127.0.0.1', port },
    keyring: () => new Promise(() => undefined),
  });
  const call = be.head(KEY, { timeoutMs: 100 });
  be.close();
  await rejectsWith(call, 'TIMEOUT');
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

test('INFO that is no JSON, and a scan that is cut, are BAD_FRAME', async () => {
  const fake = await FakeServer.start((request, peer) => peer.reply(request, [], Buffer.from('{')));
  const be = new BeClient({ address: fake.address });
  await rejectsWith(be.info(), 'BAD_FRAME');
  await rejectsWith(be.scan(Buffer.from([2]), undefined, 10), 'BAD_FRAME');
  be.close();
  await fake.close();
});

test('what is neither bytes nor string is refused', async () => {
  await withFake(
    () => assert.fail(),
    async (client) => {
      await rejectsWith(client.store('alice', 5 as never), 'INVALID_RECORD');
    },
  );
});

test('addresses', () => {
  assert.deepEqual(parseAddress('example.org:1'), { host: 'example.org', port: 1 });
  assert.deepEqual(parseAddress('[::1]:65535'), { host: '::1', port: 65_535 });
  assert.deepEqual(parseAddress(':7777'), { host: 'localhost', port: 7777 });
  for (const text of ['', 'x', 'x:', 'x:0', 'x:65536', '::1:7777', 'a b:1', 'x:123456']) {
    assert.throws(() => parseAddress(text), { code: 'USAGE' }, text);
  }
});
