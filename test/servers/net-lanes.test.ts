/** Which connection a client's request takes, and when one is given up. */
import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { FeClient } from '../../lib/fe/client.ts';
import { encodeReply, type Frame } from '../../lib/protocol/frame.ts';
import { OPCODE } from '../../lib/protocol/messages.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { DONE, KEY, withFake, words } from '../helpers/fake-client.ts';
import { type FakePeer, FakeServer, type Script } from '../helpers/fake-server.ts';
import { until } from '../helpers/wire.ts';

test('a new server takes what comes after GOAWAY, while the old one still owes an answer', async () => {
  let owed: [Frame, FakePeer] | undefined;
  const script: Script = (request, peer) => {
    if (owed !== undefined) return peer.reply(request, DONE);
    owed = [request, peer];
    peer.goAway();
  };
  await withFake(script, async (client, fake) => {
    const slow = client.delete('alice');
    await until(() => owed !== undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (let times = 0; times < 3; times++) await client.delete('bob');
    assert.equal(fake.connections, 2);
    const [request, peer] = owed ?? assert.fail();
    peer.reply(request, DONE);
    await slow;
    await until(() => fake.open === 1);
  });
});

test('a server that fell silent is left, however little patience its callers have', async () => {
  let isSilent = false;
  const script: Script = (request, peer) => {
    if (!isSilent || peer.number > 1) peer.reply(request, DONE);
  };
  await withFake(
    script,
    async (client, fake) => {
      await client.ping();
      isSilent = true;
      await until(async () => {
        await client.ping({ timeoutMs: 40 }).catch(() => undefined);
        return fake.connections === 2;
      });
      await client.ping();
    },
    { timeoutMs: 400 },
  );
});

test('an answer that came while this process stood still is not late', async () => {
  let isOnce = true;
  const script: Script = (request, peer) => {
    peer.reply(request, DONE);
    if (request.code !== OPCODE.PING || !isOnce) return;
    isOnce = false;
    for (const sinceMs = performance.now(); performance.now() - sinceMs < 300; );
  };
  await withFake(script, async (client, fake) => {
    await client.ping({ timeoutMs: 100 });
    await client.ping();
    assert.equal(fake.connections, 1);
  });
});

test('a request takes a connection that is ready before one that is not there yet', async () => {
  const sockets: Socket[] = [];
  // The first connection is answered, those after it are not.
  const server = createServer((socket) => {
    const isFirst = sockets.push(socket) === 1;
    socket.on('data', (bytes: Buffer) => {
      for (let at = 0; isFirst && at < bytes.length; at += 4 + bytes.readUInt32BE(at)) {
        for (const part of encodeReply(0, bytes.readUInt32BE(at + 8), [])) socket.write(part);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const address = { host: '127.0.0.1', port };
  const client = new FeClient({ address, connections: 2, attemptsMax: 1 });
  await client.ping();
  const pings = Array.from({ length: 20 }, () => client.ping({ timeoutMs: 2_000 }));
  await Promise.all(pings);
  client.close();
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

test('a server that fell silent under load is left, though it had answered others', async () => {
  let isSilent = false;
  const script: Script = (request, peer) => {
    if (isSilent && peer.number === 1) return;
    setTimeout(() => peer.reply(request, DONE), 5);
  };
  await withFake(
    script,
    async (client, fake) => {
      let isOver = false;
      const callers = Array.from({ length: 16 }, async () => {
        while (!isOver) await client.ping({ timeoutMs: 300 }).catch(() => undefined);
      });
      await until(() => fake.requests.length > 50);
      isSilent = true;
      await until(() => fake.connections > 1);
      await client.ping();
      isOver = true;
      await Promise.all(callers);
    },
    { timeoutMs: 300 },
  );
});

test('who takes a request back breaks no connection of a server that is only slow', async () => {
  const script: Script = (request, peer) => {
    if (request.code !== OPCODE.CANCEL) setTimeout(() => peer.reply(request, DONE), 1_000);
  };
  await withFake(
    script,
    async (client, fake) => {
      const caller = new AbortController();
      const gone = client.ping({ signal: caller.signal });
      const patient = client.delete('alice', { timeoutMs: 5_000 });
      setTimeout(() => caller.abort(), 20);
      await rejectsWith(gone, 'CANCELLED');
      await patient;
      assert.equal(fake.connections, 1);
    },
    { timeoutMs: 1_400 },
  );
});

test('GOAWAY before the answer to HELLO leads to another connection', async () => {
  const fake = await FakeServer.start((request, peer) => {
    if (peer.number === 1) peer.goAway();
    if (peer.number > 1 || request.code === OPCODE.HELLO) peer.reply(request, DONE);
    else peer.refuse(request.requestId, words('GOAWAY'));
  });
  const client = new FeClient({ address: fake.address });
  await client.ping();
  assert.equal(fake.connections, 2);
  client.close();
  await fake.close();
});

test('a part of an answer is a sign of life', async () => {
  const drips: NodeJS.Timeout[] = [];
  const script: Script = (request, peer) => {
    if (request.code !== OPCODE.RETRIEVE) return;
    const [head, body] = encodeReply(0, request.requestId, DONE, Buffer.alloc(100_000));
    let at = 0;
    const whole = Buffer.concat([head as Buffer, body as Buffer]);
    const drip = setInterval(() => {
      peer.socket.write(whole.subarray(at, at + 5_000));
      at += 5_000;
      if (at >= whole.length) clearInterval(drip);
    }, 50);
    drips.push(drip);
  };
  await withFake(
    script,
    async (client, fake) => {
      const large = client.retrieve('alice', KEY, { timeoutMs: 10_000 });
      await rejectsWith(client.ping({ timeoutMs: 600 }), 'TIMEOUT');
      assert.equal((await large).record.length, 100_000);
      assert.equal(fake.connections, 1);
    },
    { timeoutMs: 600 },
  ).finally(() => {
    for (const drip of drips) clearInterval(drip);
  });
});

test('a closed client does not stay for a server that reads nothing', async () => {
  const fake = await FakeServer.start(
    (_request, peer) => {
      peer.socket.pause();
    },
    0,
    true,
  );
  const client = new FeClient({ address: fake.address });
  await rejectsWith(client.ping({ timeoutMs: 50 }), 'TIMEOUT');
  const large = client.store('alice', Buffer.alloc(8 << 20), { timeoutMs: 50 });
  await rejectsWith(large, 'UNKNOWN_OUTCOME');
  client.close();
  await until(() => process.getActiveResourcesInfo().filter(isTcp).length <= 2);
  await fake.close();
});

/** The fake's port, and its end of the connection, of which it does not read the end. */
function isTcp(resource: string): boolean {
  return resource.startsWith('TCP');
}
