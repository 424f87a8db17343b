/** What the client libraries send again, and what they never do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FeClient } from '../../lib/fe/client.ts';
import { Fields } from '../../lib/protocol/fields.ts';
import type { Frame } from '../../lib/protocol/frame.ts';
import { FIELD } from '../../lib/protocol/messages.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { breaks, DONE, KEY, onlyOnce, refuses, withFake } from '../helpers/fake-client.ts';
import { FakeServer, type Script } from '../helpers/fake-server.ts';

const operations = {
  store: (client: FeClient) => client.store('alice', KEY),
  storeOwnKey: (client: FeClient) => client.store('alice', KEY, { key: KEY }),
  storeIfAbsent: (client: FeClient) => client.store('alice', KEY, { ifAbsent: true }),
  retrieve: (client: FeClient) => client.retrieve('alice', KEY),
  delete: (client: FeClient) => client.delete('alice'),
  ping: (client: FeClient) => client.ping(),
};
type Operation = keyof typeof operations;

for (const name of Object.keys(operations) as Operation[]) {
  for (const code of ['GOAWAY', 'OVERLOADED', 'UNAVAILABLE', 'STALE_EPOCH'] as const) {
    test(`${name} refused with ${code} was not executed, and is sent again`, async () => {
      await withFake(onlyOnce(refuses(code)), async (client, fake) => {
        await operations[name](client);
        assert.equal(fake.requests.length, 2);
        assert.equal(fake.opcodes[0], fake.opcodes[1]);
      });
    });
  }
}

for (const name of ['store', 'storeOwnKey', 'retrieve', 'ping'] as const) {
  test(`${name} whose answer is lost is sent again, with the same key`, async () => {
    await withFake(onlyOnce(breaks), async (client, fake) => {
      await operations[name](client);
      assert.equal(fake.requests.length, 2);
      const [first, second] = fake.requests.map(keyOf);
      assert.deepEqual(first, second);
      assert.equal(fake.connections, 2);
    });
  });
}

for (const name of ['storeIfAbsent', 'delete'] as const) {
  test(`${name} whose answer is lost is not sent again`, async () => {
    await withFake(onlyOnce(breaks), async (client, fake) => {
      await rejectsWith(operations[name](client), 'UNKNOWN_OUTCOME');
      assert.equal(fake.requests.length, 1);
    });
  });
}

for (const name of ['storeIfAbsent', 'delete', 'store', 'retrieve'] as const) {
  test(`${name} that never left, because nobody listened yet, is sent once`, async () => {
    const { address } = await occupiedThenFree();
    const client = new FeClient({ address, attemptsMax: 100 });
    const done = operations[name](client);
    const script: Script = (request, peer) => peer.reply(request, DONE);
    const fake = await FakeServer.start(script, address.port, true);
    await done;
    assert.equal(fake.requests.length, 1);
    client.close();
    await fake.close();
  });
}

for (const code of [
  'NOT_FOUND',
  'WRONG_KEY',
  'CONFLICT',
  'RECORD_TOO_LARGE',
  'INTERNAL',
] as const) {
  test(`${code} is an answer, and nothing is sent again`, async () => {
    await withFake(refuses(code), async (client, fake) => {
      const error = await rejectsWith(client.store('alice', KEY), code);
      assert.equal(error.message, 'as the script says');
      assert.equal(fake.requests.length, 1);
    });
  });
}

test('UNKNOWN_OUTCOME from the server itself is treated as a lost answer', async () => {
  await withFake(onlyOnce(refuses('UNKNOWN_OUTCOME')), async (client, fake) => {
    await client.store('alice', KEY);
    assert.equal(fake.requests.length, 2);
  });
  await withFake(onlyOnce(refuses('UNKNOWN_OUTCOME')), async (client, fake) => {
    await rejectsWith(client.delete('alice'), 'UNKNOWN_OUTCOME');
    assert.equal(fake.requests.length, 1);
  });
});

test('after a lost answer, "not executed" is not believed of the first attempt', async () => {
  let seen = 0;
  const script: Script = (request, peer) => {
    if (++seen === 1) breaks(request, peer);
    else refuses('UNAVAILABLE')(request, peer);
  };
  await withFake(script, async (client, fake) => {
    await rejectsWith(client.store('alice', KEY), 'UNKNOWN_OUTCOME');
    assert.equal(fake.requests.length, 3);
  });
});

test('a call is sent three times at the most', async () => {
  await withFake(refuses('OVERLOADED'), async (client, fake) => {
    await rejectsWith(client.ping(), 'OVERLOADED');
    assert.equal(fake.requests.length, 3);
  });
});

test('the whole call ends at its deadline, however often it is sent', async () => {
  let isConnected = false;
  const script: Script = (request, peer) => {
    if (isConnected) refuses('OVERLOADED')(request, peer);
    else peer.reply(request);
  };
  await withFake(script, async (client, fake) => {
    await client.ping();
    isConnected = true;
    // Shorter than the first pause, and longer than one answer takes.
    await rejectsWith(client.ping({ timeoutMs: 15 }), 'OVERLOADED');
    assert.equal(fake.requests.length, 2);
  });
});

for (const name of ['ping', 'retrieve', 'delete', 'store', 'storeIfAbsent'] as const) {
  const isRead = name === 'ping' || name === 'retrieve';
  const code = isRead ? 'TIMEOUT' : 'UNKNOWN_OUTCOME';
  test(`${name} without an answer is ${code}, and the connection is given up`, async () => {
    let isSilent = true;
    const script: Script = (request, peer) => {
      if (!isSilent) peer.reply(request, DONE);
    };
    await withFake(
      script,
      async (client, fake) => {
        await rejectsWith(operations[name](client), code);
        isSilent = false;
        await client.ping({ timeoutMs: 5_000 });
        assert.equal(fake.connections, 2);
      },
      { timeoutMs: 30 },
    );
  });
}

function keyOf(request: Frame): Buffer | undefined {
  return Fields.decode(request.fieldBytes).bytes(FIELD.KEY);
}

/** A port that was free a moment ago. */
async function occupiedThenFree() {
  const fake = await FakeServer.start(() => undefined);
  const { address } = fake;
  await fake.close();
  return { address };
}
