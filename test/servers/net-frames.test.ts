/** How frame connections behave under load, slowness and defects. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EncServerError } from '../../lib/errors.ts';
import { emptyField, u32Field } from '../../lib/protocol/fields.ts';
import type { Frame } from '../../lib/protocol/frame.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { Gate, type Listening, startListening } from '../helpers/listening.ts';
import { frameOf, framesIn, statusOf, until, Wire } from '../helpers/wire.ts';

const MIB = 1024 * 1024;

/** A surface of which some requests wait for the test. */
function gated() {
  const gate = new Gate();
  const signals = new Map<number, AbortSignal>();
  const frames = async (frame: Frame, context: { signal: AbortSignal }) => {
    signals.set(frame.requestId, context.signal);
    if (frame.body.toString() === 'slow') await gate.opened;
    return { fields: [], body: frame.body };
  };
  return { gate, signals, frames };
}

async function withListening(
  options: Parameters<typeof startListening>[0],
  run: (listening: Listening) => Promise<void>,
): Promise<void> {
  const listening = await startListening(options);
  try {
    await run(listening);
    await until(() => listening.budget.inUseBytes === 0);
  } finally {
    await listening.close();
  }
}

test('a slow request does not hold the next one up', async () => {
  const { gate, frames } = gated();
  await withListening({ frames }, async ({ port }) => {
    const wire = await Wire.open(port);
    wire.request(OPCODE.PING, 1, [], 'slow');
    wire.request(OPCODE.PING, 2, [], 'quick');
    assert.equal((await wire.frame()).requestId, 2);
    gate.open();
    assert.equal((await wire.frame()).requestId, 1);
    wire.close();
  });
});

test('a request ID in use ends the connection, after the answer to its first use', async () => {
  const { gate, frames } = gated();
  await withListening({ frames }, async ({ port }) => {
    const wire = await Wire.open(port);
    wire.request(OPCODE.PING, 1, [], 'slow');
    wire.request(OPCODE.PING, 1, [], 'again');
    const refusal = await wire.frame();
    assert.deepEqual([refusal.requestId, statusOf(refusal)], [0, 'DUPLICATE_REQUEST_ID']);
    gate.open();
    assert.deepEqual(
      framesIn(await wire.rest()).map(({ body }) => `${body}`),
      ['slow'],
    );
    wire.close();
  });
});

test('a request ID may be used again after its reply', async () => {
  await withListening({}, async ({ port }) => {
    const wire = await Wire.open(port);
    for (let i = 0; i < 3; i++) {
      wire.request(OPCODE.PING, 1);
      assert.equal(statusOf(await wire.frame()), 'OK');
    }
    wire.close();
  });
});

test('CANCEL reaches its request, and no other', async () => {
  const { gate, frames, signals } = gated();
  await withListening({ frames }, async ({ port }) => {
    const wire = await Wire.open(port);
    wire.request(OPCODE.PING, 1, [], 'slow');
    wire.request(OPCODE.PING, 2, [], 'slow');
    wire.request(OPCODE.CANCEL, 3, [u32Field(FIELD.TARGET, 2)]);
    await until(() => signals.get(2)?.aborted === true);
    assert.equal(signals.get(1)?.aborted, false);
    gate.open();
    assert.deepEqual((await wire.frames(2)).map(({ requestId }) => requestId).sort(), [1, 2]);
    wire.close();
  });
});

test('what is under way is taken back when its connection breaks', async () => {
  const { gate, frames, signals } = gated();
  await withListening({ frames }, async ({ port }) => {
    const wire = await Wire.open(port);
    wire.request(OPCODE.PING, 1, [], 'slow');
    await until(() => signals.has(1));
    wire.socket.resetAndDestroy();
    await until(() => signals.get(1)?.aborted === true);
    gate.open();
  });
});

test('of one connection, only so many requests are under way at once', async () => {
  const { gate, frames, signals } = gated();
  const limits = { requestsPerConnectionMax: 3 };
  await withListening({ frames, limits }, async ({ port, budget }) => {
    const wire = await Wire.open(port);
    for (let id = 1; id <= 10; id++) wire.request(OPCODE.PING, id, [], 'slow');
    const other = await Wire.open(port);
    other.request(OPCODE.PING, 11, [], 'quick');
    await other.frame();
    await until(() => signals.size >= 4);
    assert.deepEqual([...signals.keys()].sort(), [1, 11, 2, 3]);
    assert.ok(budget.inUseBytes < 4 * 20);
    gate.open();
    assert.equal((await wire.frames(10)).length, 10);
    for (const one of [wire, other]) one.close();
  });
});

test('a frame that does not arrive in time is TIMEOUT, byte by byte or not at all', async () => {
  const limits = { receiveTimeoutMs: 60 };
  await withListening({ limits }, async ({ port }) => {
    const silent = await Wire.open(port);
    const slow = await Wire.open(port);
    const bytes = frameOf(OPCODE.PING, 1, [], 'x'.repeat(1000));
    silent.send(bytes.subarray(0, 20));
    let at = 0;
    const timer = setInterval(() => slow.send(bytes.subarray(at, ++at)), 5);
    for (const wire of [silent, slow]) {
      const frame = await wire.frame();
      assert.deepEqual([frame.requestId, statusOf(frame)], [0, 'TIMEOUT']);
    }
    clearInterval(timer);
    for (const wire of [silent, slow]) wire.close();
  });
});

test('a sender who is never at the end of a frame, but goes on, is no slow one', async () => {
  const limits = { receiveTimeoutMs: 600 };
  await withListening({ limits }, async ({ port }) => {
    const wire = await Wire.open(port);
    const bytes = frameOf(OPCODE.PING, 1, [], 'x'.repeat(100));
    await wire.sendAlone(bytes.subarray(0, 50));
    const startedAt = Date.now();
    let count = 0;
    // Every packet ends one frame and begins the next.
    while (Date.now() - startedAt < 1500) {
      await wire.sendAlone(Buffer.concat([bytes.subarray(50), bytes.subarray(0, 50)]));
      assert.equal(statusOf(await wire.frame()), 'OK');
      count++;
    }
    assert.ok(count > 1);
    wire.close();
  });
});

test('a connection that is silent for long is told to go away, and closed', async () => {
  const limits = { idleTimeoutMs: 40 };
  await withListening({ limits }, async ({ port }) => {
    const wire = await Wire.open(port);
    wire.request(OPCODE.PING, 1);
    await wire.frame();
    const goAway = await wire.frame();
    assert.deepEqual([goAway.reply, goAway.code], [false, OPCODE.GOAWAY]);
    wire.end();
    assert.equal((await wire.rest()).length, 0);
    wire.close();
  });
});

test('a receiver who reads nothing is cut, and what it held is given back', async () => {
  const limits = { sendTimeoutMs: 100 };
  const body = Buffer.alloc(4 * MIB);
  const frames = async () => ({ fields: [], body });
  await withListening({ frames, limits }, async ({ port, budget, listener }) => {
    const wire = await Wire.open(port);
    wire.socket.pause();
    for (let id = 1; id <= 8; id++) wire.request(OPCODE.PING, id);
    await until(() => budget.inUseBytes > 4 * MIB);
    await until(() => listener.connectionCount === 0);
    wire.close();
  });
});

test('replies that are not taken stop the reading of requests', async () => {
  let handled = 0;
  const body = Buffer.alloc(8 * MIB);
  const frames = async () => {
    handled++;
    return { fields: [], body };
  };
  await withListening({ frames }, async ({ port }) => {
    const wire = await Wire.open(port);
    wire.socket.pause();
    for (let id = 1; id <= 50; id++) await wire.sendAlone(frameOf(OPCODE.PING, id));
    await until(() => handled > 0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(handled < 10, `${handled} requests were handled`);
    wire.socket.resume();
    const answered = await wire.frames(handled);
    assert.equal(answered[0]?.body.length, body.length);
    wire.socket.destroy();
  });
});

test('a defect in a handler is INTERNAL, without its words', async () => {
  const frames = async (frame: Frame) => {
    if (frame.body.length > 0) throw new TypeError('alice has key 0011');
    // A reply that no frame can hold.
    return { fields: [], body: Buffer.alloc(16 * MIB) };
  };
  await withListening({ frames }, async ({ port }) => {
    const wire = await Wire.open(port);
    wire.request(OPCODE.PING, 1, [], 'x');
    const reply = await wire.frame();
    assert.equal(statusOf(reply), 'INTERNAL');
    assert.doesNotMatch(reply.body.toString(), /alice|0011/);
    wire.request(OPCODE.PING, 2);
    assert.equal(statusOf(await wire.frame()), 'FRAME_TOO_LARGE');
    wire.close();
  });
});

test('LARGE carries its size, and a field without a value is a field', async () => {
  const frames = async () => {
    throw new EncServerError('LARGE', 'too large', { sizeBytes: 12_345 });
  };
  await withListening({ frames }, async ({ port }) => {
    const wire = await Wire.open(port);
    wire.request(OPCODE.PING, 1, [emptyField(FIELD.IF_ABSENT)]);
    const reply = await wire.frame();
    assert.equal(statusOf(reply), 'LARGE');
    assert.equal(reply.fieldBytes.readUInt32BE(5), 12_345);
    wire.close();
  });
});
