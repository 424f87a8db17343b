/** Proof of key, conditions, expiry, one-time reads and new keys, through both real servers. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { drawKey, FeClient } from '../../lib/fe/client.ts';
import { EXPIRY_MS_MAX } from '../../lib/protocol/expiry.ts';
import { bytesField, u64Field } from '../../lib/protocol/fields.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { http, httpJson } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';
import { ask, statusOf, Wire } from '../helpers/wire.ts';

const MIB = 1024 * 1024;
const HELLO = Buffer.from('hello');

let open: TestServers;
let proof: TestServers;
let uniform: TestServers;
const clients: FeClient[] = [];

before(async () => {
  open = await startServers();
  proof = await startServers({ feServerConfigs: { writePolicy: 'key-proof' } });
  uniform = await startServers({ feServerConfigs: { uniformErrors: true } });
});
after(async () => {
  for (const client of clients) client.close();
  for (const servers of [open, proof, uniform]) await servers.close();
});

function clientOf(servers: TestServers): FeClient {
  const client = new FeClient({ address: { host: '127.0.0.1', port: servers.fe.port } });
  clients.push(client);
  return client;
}

/** One line, on a connection of its own. */
async function say(port: number, line: string): Promise<string> {
  return (await ask(port, `${line}\n`)).trimEnd();
}

let ids = 0;
const newId = () => `id ${++ids}`;

describe('proof of key', () => {
  it('is what it takes to replace and delete under the policy key-proof', async () => {
    const client = clientOf(proof);
    const id = newId();
    const { key } = await client.store(id, HELLO);
    // The key that is drawn for the new record proves nothing, and is no wrong one.
    await rejectsWith(client.store(id, Buffer.from('other')), 'KEY_REQUIRED');
    await rejectsWith(client.store(id, HELLO, { oldKey: drawKey() }), 'WRONG_KEY');
    for (const any of [id, newId()]) {
      const message = 'a record is deleted only with its key';
      await assert.rejects(client.delete(any), { code: 'KEY_REQUIRED', message });
    }
    await rejectsWith(client.delete(id, { key: drawKey() }), 'WRONG_KEY');
    const second = await client.store(id, Buffer.from('second'), { oldKey: key });
    assert.equal(second.replaced, true);
    assert.equal(`${(await client.retrieve(id, second.key)).record}`, 'second');
    assert.equal(await client.delete(id, { key: second.key }), true);
    await client.store(id, HELLO);
  });

  it('is given by the same key: a STORE whose answer was lost may be sent again', async () => {
    const client = clientOf(proof);
    const id = newId();
    const key = drawKey();
    const [first, second] = [
      await client.store(id, HELLO, { key }),
      await client.store(id, HELLO, { key }),
    ];
    assert.equal(first.replaced, false);
    assert.equal(second.replaced, true);
  });

  it('has one winner of many who show the same old key', async () => {
    const client = clientOf(proof);
    const id = newId();
    const { key: oldKey } = await client.store(id, HELLO);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, () => client.store(id, randomBytes(9), { oldKey })),
    );
    const won = outcomes.filter(({ status }) => status === 'fulfilled');
    assert.equal(won.length, 1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'WRONG_KEY');
    }
  });

  it('leaves text lines to create, and to delete with the key', async () => {
    const { port } = proof.fe;
    const id = `text${++ids}`;
    const key = await say(port, `STORE ${id} hi`);
    assert.match(key, /^[0-9a-f]{64}$/);
    assert.match(await say(port, `STORE ${id} hi`), /^ERROR KEY_REQUIRED /);
    assert.match(await say(port, `DELETE ${id}`), /^ERROR KEY_REQUIRED /);
    assert.equal(await say(port, `DELETE ${id} ${key}`), 'SUCCESS');
  });

  it('is checked where it is shown, under the policy open too', async () => {
    const client = clientOf(open);
    const id = newId();
    const { key } = await client.store(id, HELLO);
    await rejectsWith(client.store(id, HELLO, { oldKey: drawKey() }), 'WRONG_KEY');
    await client.store(id, HELLO, { oldKey: key });
    await client.store(id, HELLO);
  });

  it('holds over HTTP: 403 without the old key, 200 with it', async () => {
    const { port } = proof.fe;
    const path = `/v1/records/http${++ids}`;
    const created = await http(port, 'PUT', path, { body: 'one' });
    assert.equal(created.status, 201);
    const { key } = created.json<{ key: string }>();
    const refused = await http(port, 'PUT', path, { body: 'two' });
    assert.equal(refused.status, 403);
    assert.equal(refused.json()['code'], 'KEY_REQUIRED');
    const headers = { 'Enc-Old-Key': key };
    assert.equal((await http(port, 'PUT', path, { headers, body: 'two' })).status, 200);
    assert.equal((await http(port, 'DELETE', path)).status, 403);
  });
});

describe('conditions', () => {
  it('write only what is absent, or has this revision', async () => {
    const client = clientOf(open);
    const id = newId();
    const first = await client.store(id, HELLO, { ifAbsent: true });
    await rejectsWith(client.store(id, HELLO, { ifAbsent: true }), 'CONFLICT');
    const second = await client.store(id, HELLO, { ifRevision: first.revision });
    await rejectsWith(client.store(id, HELLO, { ifRevision: first.revision }), 'CONFLICT');
    await rejectsWith(client.delete(id, { ifRevision: first.revision }), 'CONFLICT');
    const { revision, once, expiryMs } = await client.head(id);
    assert.ok(revision.equals(second.revision));
    assert.deepEqual([once, expiryMs], [false, undefined]);
    assert.equal(await client.delete(id, { ifRevision: revision }), true);
    await rejectsWith(client.head(id), 'NOT_FOUND');
    await rejectsWith(client.store(id, HELLO, { ifRevision: revision }), 'CONFLICT');
    for (const proof of [{}, { key: second.key }]) {
      await rejectsWith(client.delete(id, { ifRevision: revision, ...proof }), 'CONFLICT');
    }
  });
});

describe('expiry', () => {
  it('ends a record at its time, and its bytes soon after', async () => {
    const client = clientOf(open);
    const id = newId();
    // By the clock of the store, too: long enough for three requests on a busy machine.
    const expiryMs = Date.now() + 2_000;
    const { key } = await client.store(id, HELLO, { expiryMs });
    assert.equal((await client.retrieve(id, key)).expiryMs, expiryMs);
    assert.equal((await client.head(id)).expiryMs, expiryMs);
    await sleep(expiryMs - Date.now() + 5);
    await rejectsWith(client.retrieve(id, key), 'NOT_FOUND');
    await rejectsWith(client.head(id), 'NOT_FOUND');
    assert.equal(await client.delete(id, { key }), false);
    assert.equal((await client.store(id, HELLO, { ifAbsent: true })).replaced, false);
  });

  it('is refused in the past, and where it is no time', async () => {
    const client = clientOf(open);
    await rejectsWith(client.store(newId(), HELLO, { expiryMs: Date.now() - 1 }), 'INVALID_FIELD');
    await rejectsWith(client.store(newId(), HELLO, { expiryMs: Number.NaN }), 'INVALID_FIELD');
    const expiryMs = EXPIRY_MS_MAX + 1;
    await rejectsWith(client.store(newId(), HELLO, { expiryMs }), 'INVALID_FIELD');
    // A client of another make may send it all the same.
    const wire = await Wire.open(open.fe.port);
    const id = bytesField(FIELD.ID, Buffer.from(newId()));
    const key = bytesField(FIELD.KEY, randomBytes(32));
    wire.request(OPCODE.STORE, 1, [id, key, u64Field(FIELD.EXPIRY, expiryMs)], 'hello');
    assert.equal(statusOf(await wire.frame()), 'INVALID_FIELD');
    wire.close();
    const headers = { 'Enc-Expires': '2001-01-01T00:00:00Z' };
    const past = await http(open.fe.port, 'PUT', '/v1/records/past', { headers, body: 'x' });
    assert.equal(past.status, 400);
  });

  it('travels in headers over HTTP', async () => {
    const headers = { 'Enc-Ttl': '60' };
    const path = `/v1/records/ttl${++ids}`;
    const { port } = open.fe;
    const { key } = (await http(port, 'PUT', path, { headers, body: 'x' })).json<{ key: string }>();
    const answer = await http(port, 'GET', path, { headers: { 'Enc-Record-Key': key } });
    const leftMs = Date.parse(String(answer.headers['enc-expires'])) - Date.now();
    assert.ok(leftMs > 50_000 && leftMs <= 60_000, `${leftMs}`);
  });
});

for (const [size, record] of [
  ['small', HELLO],
  ['large', randomBytes(3 * MIB)],
] as const) {
  describe(`a ${size} record that can be read once`, () => {
    it('is read once; by its reader again, by nobody else', async () => {
      const client = clientOf(open);
      const id = newId();
      const { key } = await client.store(id, record, { once: true, contentType: 'text/plain' });
      assert.equal((await client.head(id)).once, true);
      await rejectsWith(client.retrieve(id, drawKey()), 'WRONG_KEY');
      const reader = randomBytes(16);
      const first = await client.retrieve(id, key, { reader });
      assert.ok(first.record.equals(record));
      assert.deepEqual([first.once, first.contentType], [true, 'text/plain']);
      const again = await client.retrieve(id, key, { reader });
      assert.ok(again.record.equals(record));
      const error = await rejectsWith(client.retrieve(id, key), 'ALREADY_READ');
      assert.match(error.message, /read at \d{4}-\d\d-\d\dT/);
      await rejectsWith(client.retrieve(id, key, { reader: randomBytes(16) }), 'ALREADY_READ');
      await rejectsWith(client.retrieve(id, drawKey(), { reader }), 'WRONG_KEY');
      await rejectsWith(client.head(id), 'ALREADY_READ');
      await client.store(id, HELLO);
    });
  });
}

describe('reading once', () => {
  it('has one winner of many', async () => {
    const client = clientOf(open);
    const id = newId();
    const { key } = await client.store(id, HELLO, { once: true });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 30 }, () => client.retrieve(id, key)),
    );
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'ALREADY_READ');
    }
  });

  it('burns at the first line of text, which has no token', async () => {
    const client = clientOf(open);
    const id = `once${++ids}`;
    const { key } = await client.store(id, HELLO, { once: true });
    const line = `RETRIEVE ${id} ${key.toString('hex')}`;
    const wrong = `RETRIEVE ${id} ${drawKey().toString('hex')}`;
    assert.match(await say(open.fe.port, wrong), /^ERROR WRONG_KEY/);
    assert.equal(await say(open.fe.port, line), 'hello');
    assert.match(await say(open.fe.port, line), /^ERROR ALREADY_READ the record was read/);
    await rejectsWith(client.retrieve(id, key), 'ALREADY_READ');
  });

  it('does not burn for an answer that cannot show it', async () => {
    const client = clientOf(open);
    const { port } = open.fe;
    const id = `once${++ids}`;
    const { key } = await client.store(id, Buffer.from('two\nlines \xff', 'latin1'), {
      once: true,
    });
    const hex = key.toString('hex');
    assert.match(await say(port, `RETRIEVE ${id} ${hex}`), /^ERROR NOT_TEXT /);
    const path = `/records/${Buffer.from(id).toString('hex')}?key=${hex}`;
    assert.equal((await http(port, 'GET', path)).status, 406);
    const address = { host: '127.0.0.1', port };
    const small = new FeClient({ address, frameBytesMax: (64 << 10) + 5, attemptsMax: 1 });
    await rejectsWith(small.retrieve(id, key), 'LARGE');
    small.close();
    assert.equal((await client.retrieve(id, key)).record.length, 11);
  });

  it('over HTTP: neither HEAD nor If-None-Match reads it', async () => {
    const { port } = open.fe;
    const path = `/v1/records/once${++ids}`;
    const headers = { 'Enc-Once': '1' };
    const stored = await http(port, 'PUT', path, { headers, body: 'secret' });
    const { key } = stored.json<{ key: string }>();
    const withKey = { 'Enc-Record-Key': key };
    assert.equal((await http(port, 'HEAD', path, { headers: withKey })).status, 200);
    const etag = String(stored.headers['etag']);
    const cached = { ...withKey, 'If-None-Match': etag };
    assert.equal((await http(port, 'GET', path, { headers: cached })).status, 304);
    const reader = { ...withKey, 'Enc-Reader': randomBytes(16).toString('hex') };
    for (let times = 0; times < 2; times++) {
      assert.equal((await http(port, 'GET', path, { headers: reader })).body.toString(), 'secret');
    }
    const gone = await http(port, 'GET', path, { headers: withKey });
    assert.equal(gone.status, 410);
    assert.equal(gone.json()['code'], 'ALREADY_READ');
    // Whose condition asks about it first is told the same.
    for (const condition of [{ 'If-None-Match': '"another"' }, { 'If-Match': etag }]) {
      const headers = { ...withKey, ...condition };
      assert.equal((await http(port, 'GET', path, { headers })).status, 410);
    }
    const again = { ...reader, 'If-None-Match': '"another"' };
    assert.equal((await http(port, 'GET', path, { headers: again })).body.toString(), 'secret');
  });

  it('over HTTP: its reader may repeat the request, its condition included', async () => {
    const { port } = open.fe;
    const path = `/v1/records/once${++ids}`;
    const stored = await http(port, 'PUT', path, { headers: { 'Enc-Once': '1' }, body: 'secret' });
    const headers = {
      'Enc-Record-Key': stored.json<{ key: string }>().key,
      'Enc-Reader': randomBytes(16).toString('hex'),
      'If-Match': String(stored.headers['etag']),
    };
    for (let times = 0; times < 2; times++) {
      assert.equal((await http(port, 'GET', path, { headers })).body.toString(), 'secret');
      assert.equal((await http(port, 'HEAD', path, { headers })).status, 200);
    }
    const { 'Enc-Reader': _reader, ...stranger } = headers;
    assert.equal((await http(port, 'GET', path, { headers: stranger })).status, 410);
  });
});

describe('a new key', () => {
  it('opens what the old one did no more; all else stays; sent again, it succeeds', async () => {
    const client = clientOf(proof);
    const id = newId();
    const expiryMs = Date.now() + 60_000;
    const { key } = await client.store(id, HELLO, { expiryMs, contentType: 'text/x' });
    const newKey = drawKey();
    await rejectsWith(client.rekey(id, drawKey(), newKey), 'WRONG_KEY');
    const { revision } = await client.rekey(id, key, newKey);
    assert.ok((await client.rekey(id, key, newKey)).revision.equals(revision));
    await rejectsWith(client.retrieve(id, key), 'WRONG_KEY');
    const found = await client.retrieve(id, newKey);
    assert.deepEqual(
      [`${found.record}`, found.expiryMs, found.contentType],
      ['hello', expiryMs, 'text/x'],
    );
    await rejectsWith(client.rekey(id, newKey, Buffer.alloc(32)), 'WEAK_KEY');
    await rejectsWith(client.rekey('nothing here', key, newKey), 'NOT_FOUND');
  });

  it('leaves a record that can be read once unread', async () => {
    const client = clientOf(open);
    const id = newId();
    const { key } = await client.store(id, HELLO, { once: true });
    const newKey = drawKey();
    await client.rekey(id, key, newKey);
    assert.equal(`${(await client.retrieve(id, newKey)).record}`, 'hello');
    await rejectsWith(client.rekey(id, newKey, drawKey()), 'ALREADY_READ');
  });
});

describe('uniform errors', () => {
  it('say of a wrong key what they say of no record', async () => {
    const client = clientOf(uniform);
    const id = newId();
    const { revision } = await client.store(id, HELLO);
    const wrong = await rejectsWith(client.retrieve(id, drawKey()), 'NOT_FOUND');
    const none = await rejectsWith(client.retrieve('none', drawKey()), 'NOT_FOUND');
    assert.equal(wrong.message, none.message);
    for (const one of [id, 'none']) {
      assert.equal(await client.delete(one, { key: drawKey() }), false);
      const meant = { key: drawKey(), ifRevision: revision };
      assert.equal(await client.delete(one, meant), false);
    }
    await rejectsWith(client.head(id), 'NOT_ALLOWED');
    const posted = await httpJson(uniform.fe.port, 'POST', '/data', { id: 1, data: 'x' });
    assert.equal(posted.status, 200);
  });

  it('say it of REKEY too, and of a record that was read once', async () => {
    const client = clientOf(uniform);
    const [id, read] = [newId(), newId()];
    await client.store(id, HELLO);
    const { key } = await client.store(read, HELLO, { once: true });
    await client.retrieve(read, key);
    const answers = [];
    for (const one of [id, read, 'none']) {
      const error = await rejectsWith(client.rekey(one, drawKey(), drawKey()), 'NOT_FOUND');
      answers.push(`${error.message}; ${error.hint}`);
    }
    assert.equal(new Set(answers).size, 1, answers.join('\n'));
    await rejectsWith(client.rekey(read, key, drawKey()), 'ALREADY_READ');
  });
});
