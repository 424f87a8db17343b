/** Many requests in one, over frames, the library and HTTP; and lists of IDs. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type BatchRequest, drawKey, FeClient } from '../../lib/fe/client.ts';
import { decodeBatch, encodeBatch } from '../../lib/protocol/batch.ts';
import { bytesField, emptyField } from '../../lib/protocol/fields.ts';
import { BATCH_ITEMS_MAX } from '../../lib/protocol/limits.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { http, httpJson } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

let servers: TestServers;
let client: FeClient;

before(async () => {
  servers = await startServers();
  client = new FeClient({ address: { host: '127.0.0.1', port: servers.fe.port } });
});
after(async () => {
  client.close();
  await servers.close();
});

describe('a batch as bytes', () => {
  it('comes back as it was, whatever its parts', () => {
    const entries = [
      {
        code: OPCODE.STORE,
        fields: [bytesField(FIELD.ID, Buffer.from('a'))],
        body: randomBytes(9),
      },
      { code: OPCODE.DELETE, fields: [] },
      { code: 0xffff, fields: [emptyField(FIELD.ONCE)], body: Buffer.alloc(0) },
    ];
    const items = decodeBatch(encodeBatch(entries, false));
    assert.deepEqual(
      items.map(({ code }) => code),
      entries.map(({ code }) => code),
    );
    assert.deepEqual(items[0]?.body, entries[0]?.body);
    assert.deepEqual(decodeBatch(Buffer.alloc(0)), []);
  });

  it('is INVALID_FIELD when it is cut anywhere inside an item, or has too many', () => {
    const one = [
      { code: 16, fields: [bytesField(FIELD.ID, Buffer.from('a'))], body: Buffer.of(1) },
    ];
    const bytes = encodeBatch(one, false);
    for (let length = 1; length < bytes.length; length++) {
      assert.throws(() => decodeBatch(bytes.subarray(0, length)), { code: 'INVALID_FIELD' });
    }
    const empty = { code: 16, fields: [] };
    const most = Array.from({ length: BATCH_ITEMS_MAX }, () => empty);
    assert.equal(decodeBatch(encodeBatch(most, false)).length, BATCH_ITEMS_MAX);
    assert.throws(() => decodeBatch(encodeBatch([...most, empty], false)), {
      code: 'INVALID_FIELD',
    });
  });
});

describe('a batch over frames', () => {
  it('stores, retrieves and deletes; a bad item spoils no other', async () => {
    const key = drawKey();
    const stored = await client.batch([
      { op: 'store', id: 'one', record: Buffer.from('1'), key },
      { op: 'store', id: '', record: Buffer.from('2') },
      { op: 'store', id: 'three', record: Buffer.from('3'), contentType: 'text/x' },
      { op: 'store', id: 'four', record: Buffer.from('4'), key: Buffer.alloc(32) },
    ]);
    assert.deepEqual(
      stored.map((answer) => answer.error?.code),
      [undefined, 'INVALID_ID', undefined, 'WEAK_KEY'],
    );
    const third = stored[2];
    assert.ok(third?.op === 'store' && third.error === undefined);
    const answers = await client.batch([
      { op: 'retrieve', id: 'one', key },
      { op: 'retrieve', id: 'three', key },
      { op: 'retrieve', id: 'three', key: third.stored.key },
      { op: 'retrieve', id: 'nobody', key },
      { op: 'delete', id: 'one', key: drawKey() },
      { op: 'delete', id: 'nobody' },
    ]);
    assert.deepEqual(
      answers.map(({ error }) => error?.code),
      [undefined, 'WRONG_KEY', undefined, 'NOT_FOUND', 'WRONG_KEY', undefined],
    );
    const [one, , three, , , gone] = answers;
    assert.ok(one?.op === 'retrieve' && one.error === undefined);
    assert.equal(`${one.found.record}`, '1');
    assert.ok(three?.op === 'retrieve' && three.error === undefined);
    assert.equal(three.found.contentType, 'text/x');
    assert.ok(gone?.op === 'delete' && gone.error === undefined && !gone.existed);
    assert.deepEqual(await client.batch([]), []);
  });

  it('answers a record longer than its share with LARGE, and leaves it unread', async () => {
    const big = randomBytes(5 * 1024 * 1024);
    const { key } = await client.store('big once', big, { once: true });
    const small = await client.store('small', Buffer.from('x'));
    const asked: BatchRequest[] = [
      { op: 'retrieve', id: 'big once', key },
      { op: 'retrieve', id: 'small', key: small.key },
    ];
    const [large, fits] = await client.batch(asked);
    assert.equal(large?.error?.code, 'LARGE');
    assert.equal(large.error.sizeBytes, big.length);
    assert.equal(fits?.error, undefined);
    assert.deepEqual((await client.retrieve('big once', key)).record, big);
  });

  it('takes the most items, however short records must be', async () => {
    const small = { recordBytesMax: 65_536 };
    const own = await startServers({ feServerConfigs: small, beServerConfigs: small });
    const ours = new FeClient({ address: { host: '127.0.0.1', port: own.fe.port } });
    try {
      const [record, key] = [randomBytes(2_000), drawKey()];
      await ours.store('x', record, { key });
      const asked = { op: 'retrieve' as const, id: 'x', key };
      const answers = await ours.batch(Array.from({ length: BATCH_ITEMS_MAX }, () => asked));
      assert.equal(answers.length, BATCH_ITEMS_MAX);
      const codes = new Set(answers.map(({ error }) => error?.code));
      assert.deepEqual([...codes], ['LARGE']);
      const some = await ours.batch(Array.from({ length: 100 }, () => asked));
      assert.ok(
        some.every((one) => one.op === 'retrieve' && !one.error && one.found.record.equals(record)),
      );
    } finally {
      ours.close();
      await own.close();
    }
  });

  it('refuses other operations, and a token of its own, item by item', async () => {
    const address = { host: '127.0.0.1', port: servers.fe.port };
    const { FrameClient, readCall } = await import('../../lib/net/client.ts');
    const raw = new FrameClient({
      address,
      connections: 1,
      timeoutMs: 5_000,
      connectTimeoutMs: 5_000,
      frameBytesMax: 1 << 20,
      attemptsMax: 1,
      stayConnected: false,
    });
    const id = bytesField(FIELD.ID, Buffer.from('x'));
    const token = bytesField(FIELD.TOKEN, Buffer.from('t'));
    const body = encodeBatch(
      [
        { code: OPCODE.INFO, fields: [] },
        { code: OPCODE.BATCH, fields: [] },
        { code: OPCODE.DELETE, fields: [id, token] },
        { code: OPCODE.DELETE, fields: [] },
        { code: OPCODE.DELETE, fields: [id] },
      ],
      false,
    );
    const answer = await raw.call({ ...readCall(OPCODE.BATCH, [], {}), body });
    const statuses = decodeBatch(answer.body).map(({ code }) => code);
    assert.deepEqual(statuses, [3, 3, 4, 5, 0]);
    const tooMany = Array.from({ length: BATCH_ITEMS_MAX + 1 }, () => ({ code: 16, fields: [] }));
    const long = { ...readCall(OPCODE.BATCH, [], {}), body: encodeBatch(tooMany, false) };
    await rejectsWith(raw.call(long), 'INVALID_FIELD');
    raw.close();
  });

  it('counts each item as the request that it is', async () => {
    const count = async () => {
      const page = await http(servers.fe.port, 'GET', '/metrics');
      const line =
        /^enc_server_requests_total\{dialect="frames",operation="delete",outcome="ok"\} (\d+)$/m;
      return Number(line.exec(page.body.toString())?.[1] ?? 0);
    };
    const before = await count();
    await client.batch(
      Array.from({ length: 7 }, (_none, index) => ({ op: 'delete', id: `${index}` })),
    );
    assert.equal((await count()) - before, 7);
  });
});

describe('POST /v1/batch', () => {
  const post = async (body: unknown) => {
    const { status, body: bytes } = await httpJson(servers.fe.port, 'POST', '/v1/batch', body);
    return { status, answer: JSON.parse(bytes.toString()) };
  };

  it('answers each item as the request alone would have been', async () => {
    const { status, answer } = await post({
      items: [
        { op: 'store', id: 'h1', record: 'hello', contentType: 'text/plain' },
        { op: 'store', id64: '/w==', record64: 'AAE=' },
        { op: 'store', id: 'h3', record: 'x', record64: 'AAE=' },
        { op: 'fly', id: 'h4' },
        'no item',
        { op: 'retrieve', id: 'nobody', key: drawKey().toString('hex') },
        { op: 'delete', id: 'nobody' },
        { op: 'store', id: 'h1', namespace: 'enc-server-ts/data', record: 'x' },
      ],
    });
    assert.equal(status, 200);
    const { items } = answer;
    assert.deepEqual(
      items.map((item: { status: number }) => item.status),
      [201, 201, 400, 400, 400, 404, 204, 400],
    );
    assert.deepEqual(
      items.map((item: { code?: string }) => item.code),
      [
        undefined,
        undefined,
        'INVALID_FIELD',
        'INVALID_FIELD',
        'INVALID_FIELD',
        'NOT_FOUND',
        undefined,
        'INVALID_NAMESPACE',
      ],
    );
    const read = await post({
      items: [
        { op: 'retrieve', id: 'h1', key: items[0].key },
        { op: 'retrieve', id64: '/w==', key: items[1].key },
      ],
    });
    const [text, bytes] = read.answer.items;
    assert.deepEqual([text.record64, text.contentType], ['aGVsbG8=', 'text/plain']);
    assert.deepEqual([bytes.status, bytes.record64], [200, 'AAE=']);
  });

  it('takes records as long as a request alone does, in base64', async () => {
    const record = randomBytes(6 * 1024 * 1024);
    const key = drawKey();
    const long = { record64: record.toString('base64'), key: key.toString('hex') };
    const items = [
      { op: 'store', id: 'long', ...long },
      { op: 'store', id: 'cut', record64: 'AAE' },
      { op: 'store', id64: 'A'.repeat(1372), record: 'x' },
    ];
    const answer = await httpJson(servers.fe.port, 'POST', '/v1/batch', { items });
    const { items: answers } = answer.json<{ items: { status: number }[] }>();
    assert.equal(answers.map(({ status }) => status).join(), '201,400,400');
    assert.ok((await client.retrieve('long', key)).record.equals(record));
  });

  it('is refused whole where it is no batch', async () => {
    const items = Array.from({ length: BATCH_ITEMS_MAX + 1 }, () => ({ op: 'delete', id: 'x' }));
    for (const body of [{}, [], { items: 'x' }, { items }]) {
      assert.equal((await post(body)).status, 400);
    }
    const unknown = await post({ items: [], ['x'.repeat(99)]: 1 });
    assert.deepEqual([unknown.status, unknown.answer.code], [400, 'UNKNOWN_FIELD']);
    assert.equal(unknown.answer.title, 'the body has a field that is not known');
    for (const type of ['text/plain', 'json']) {
      const call = { headers: { 'Content-Type': type }, body: '{"items":[]}' };
      assert.equal((await http(servers.fe.port, 'POST', '/v1/batch', call)).status, 400, type);
    }
  });
});

describe('a list of IDs', () => {
  it('has each ID of its namespace once, page by page', async () => {
    const ids = Array.from({ length: 25 }, (_none, index) => `listed ${index} %`);
    const binary = Buffer.of(0xff, 0x00, 0x25);
    const namespace = 'lists';
    for (const id of [...ids, binary]) await client.store(id, Buffer.from('x'), { namespace });
    await client.store('elsewhere', Buffer.from('x'));
    const found: string[] = [];
    let [after, pages]: [Buffer | undefined, number] = [undefined, 0];
    do {
      const page = await client.list({ after, limit: 10 }, { namespace });
      found.push(...page.ids.map((id) => id.toString('latin1')));
      after = page.next;
      pages++;
    } while (after !== undefined);
    assert.deepEqual(found.sort(), [...ids, binary.toString('latin1')].sort());
    assert.equal(pages, 3);
    const headers = { 'Enc-Namespace': namespace };
    const first = await http(servers.fe.port, 'GET', '/v1/records?limit=20', { headers });
    const { ids: shown, next } = JSON.parse(first.body.toString());
    const second = await http(servers.fe.port, 'GET', `/v1/records?after=${next}`, { headers });
    const all = [...shown, ...JSON.parse(second.body.toString()).ids].map(decodeURIComponentBytes);
    assert.deepEqual(all.sort(), [...ids, binary.toString('latin1')].sort());
    for (const wrong of ['?limit=0', '?limit=x', '?after=zz']) {
      assert.equal((await http(servers.fe.port, 'GET', `/v1/records${wrong}`)).status, 400);
    }
    await rejectsWith(client.list({}, { namespace: 'enc-server-ts/data' }), 'INVALID_NAMESPACE');
    for (const limit of [0, -1, 1.5, Number.NaN, 2 ** 33]) {
      await rejectsWith(client.list({ limit }), 'INVALID_FIELD');
    }
  });

  it('may be longer than the longest record', async () => {
    const small = { recordBytesMax: 4_096 };
    const own = await startServers({ feServerConfigs: small, beServerConfigs: small });
    const ours = new FeClient({ address: { host: '127.0.0.1', port: own.fe.port } });
    try {
      const ids = Array.from({ length: 1_000 }, (_none, index) => `${index}`.padEnd(100, '-'));
      const record = Buffer.from('x');
      for (let at = 0; at < ids.length; at += 100) {
        const some = ids.slice(at, at + 100).map((id) => ({ op: 'store' as const, id, record }));
        assert.ok((await ours.batch(some)).every(({ error }) => error === undefined));
      }
      const { ids: listed } = await ours.list({ limit: 1_000 });
      assert.deepEqual(listed.map(String).sort(), ids.sort());
      const page = await http(own.fe.port, 'GET', '/v1/records?limit=10000');
      assert.equal(page.json<{ ids: string[] }>().ids.length, 1_000);
    } finally {
      ours.close();
      await own.close();
    }
  });
});

/** Percent-encoding of any bytes, as Latin-1. */
function decodeURIComponentBytes(text: string): string {
  return text.replace(/%([0-9a-f]{2})/g, (_all, hex) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
