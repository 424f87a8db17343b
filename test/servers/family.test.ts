/** The rest of the family at our ports, and our front end at theirs: `docs/INTEROP.md`. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import type { PartialConfig } from '../../lib/config/load.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { startFe } from '../../lib/fe/server.ts';
import { silentLog } from '../../lib/log.ts';
import type { RunningServer } from '../../lib/net/port.ts';
import {
  askAsGoV1,
  askAsPython,
  type FamilyBe,
  startGoV1Be,
  startGoV2Be,
  startPythonBe,
} from '../helpers/family.ts';
import { GrpcClient } from '../helpers/grpc.ts';
import { http } from '../helpers/http.ts';
import { run } from '../helpers/programs.ts';
import { startServers, type TestServers, temporaryFolder, testConfig } from '../helpers/servers.ts';

const RECORD = 'PAYLOADS'.repeat(8);
const HEX_ID = Buffer.from('JTH').toString('hex');
const HEX_RECORD = Buffer.from(RECORD).toString('hex');

/** What the Go v1 client does when it is run. */
async function goV1Trial(port: number): Promise<void> {
  const key = await askAsGoV1(port, `STORE ${HEX_ID} ${HEX_RECORD}`);
  assert.match(key, /^[0-9a-f]{64}$/);
  assert.equal(await askAsGoV1(port, `RETRIEVE ${HEX_ID} ${key}`), HEX_RECORD);
  assert.ok(!(await askAsGoV1(port, `DELETE ${HEX_ID}`)).startsWith('ERROR'));
  assert.match(await askAsGoV1(port, `RETRIEVE ${HEX_ID} ${key}`), /^ERROR/);
}

async function goV2Trial(port: number): Promise<void> {
  const body = JSON.stringify({ id: HEX_ID, key: '', data: HEX_RECORD });
  const headers = { 'Content-Type': 'application/json' };
  const stored = await http(port, 'POST', '/records', { body, headers });
  assert.equal(stored.status, 201);
  const { key } = JSON.parse(stored.body.toString()) as { key: string };
  const path = `/records/${HEX_ID}`;
  const found = await http(port, 'GET', `${path}?key=${key}`);
  assert.equal(found.status, 200);
  assert.equal(JSON.parse(found.body.toString()).data, RECORD);
  assert.equal((await http(port, 'DELETE', path)).status, 202);
  assert.notEqual((await http(port, 'GET', `${path}?key=${key}`)).status, 200);
}

async function pythonTrial(port: number): Promise<void> {
  const key = await askAsPython(port, `STORE JTH ${RECORD}`);
  assert.equal(await askAsPython(port, `RETRIEVE JTH ${key}`), RECORD);
  assert.match(await askAsPython(port, `DELETE JTH ${key.replace(/^./, 'g')}`), /^ERROR/);
  assert.equal(await askAsPython(port, `DELETE JTH ${key}`), 'SUCCESS');
  assert.match(await askAsPython(port, `RETRIEVE JTH ${key}`), /^ERROR/);
}

const CLIENTS = { 'Go v1': goV1Trial, 'Go v2': goV2Trial, Python: pythonTrial };

describe('their clients at our front end, over our back end', () => {
  let servers: TestServers;
  before(async () => {
    servers = await startServers();
  });
  after(() => servers.close());
  for (const [name, trial] of Object.entries(CLIENTS)) {
    it(name, () => trial(servers.fe.port));
  }
});

it('under textEncoding hex, Go v1 and v2 see one record', async () => {
  const servers = await startServers({ feServerConfigs: { textEncoding: 'hex' } });
  try {
    await goV1Trial(servers.fe.port);
    const key = await askAsGoV1(servers.fe.port, `STORE ${HEX_ID} ${HEX_RECORD}`);
    const found = await http(servers.fe.port, 'GET', `/records/${HEX_ID}?key=${key}`);
    assert.equal(JSON.parse(found.body.toString()).data, RECORD);
  } finally {
    await servers.close();
  }
});

describe('their front ends at our back end', () => {
  let servers: TestServers;
  before(async () => {
    servers = await startServers();
  });
  after(() => servers.close());
  // What a front end sends: the pseudonym and the sealed record, in digits.
  const [id, data] = ['39626334', 'c0ffee'.repeat(40)];

  it('Go v1', async () => {
    const { port } = servers.be;
    assert.equal(await askAsGoV1(port, `STORE ${id} ${data}`), 'SUCCESS');
    assert.equal(await askAsGoV1(port, `RETRIEVE ${id}`), data);
    assert.ok(!(await askAsGoV1(port, `DELETE ${id}`)).startsWith('ERROR'));
    assert.match(await askAsGoV1(port, `RETRIEVE ${id}`), /^ERROR/);
  });

  it('Python', async () => {
    const { port } = servers.be;
    assert.equal(await askAsPython(port, `STORE ${id} ${data}`), 'SUCCESS');
    assert.equal(await askAsPython(port, `RETRIEVE ${id}`), data);
    assert.equal(await askAsPython(port, `DELETE ${id}`), 'SUCCESS');
    assert.match(await askAsPython(port, `RETRIEVE ${id}`), /^ERROR/);
  });

  it('Go v2, which finds what Go v1 has stored', async () => {
    const client = new GrpcClient(servers.be.port, 'service.BackendService');
    try {
      await askAsGoV1(servers.be.port, `STORE ${id} ${data}`);
      const found = await client.call('RetrieveRecord', { id });
      assert.equal(found.data, data);
      await client.call('DeleteRecord', { id });
      await client.fails('RetrieveRecord', { id });
    } finally {
      client.client.close();
    }
  });
});

const BACK_ENDS = [
  { dialect: 'go-v1', start: startGoV1Be },
  { dialect: 'go-v2', start: startGoV2Be },
  { dialect: 'python', start: startPythonBe },
] as const;

/** Our front end on a back end of theirs, for the time of `use`. */
async function withFrontEnd(
  be: FamilyBe,
  dialect: 'go-v1' | 'go-v2' | 'python',
  use: (fe: RunningServer, client: FeClient) => Promise<void>,
  flags: PartialConfig = {},
): Promise<void> {
  const folder = await temporaryFolder();
  const config = await testConfig(folder, flags);
  const link = { ...config.beClientConfigs, serverAddr: `127.0.0.1:${be.port}`, dialect };
  try {
    const fe = await startFe({ ...config, beClientConfigs: link }, silentLog);
    const client = new FeClient({ address: { host: '127.0.0.1', port: fe.port } });
    try {
      await use(fe, client);
    } finally {
      client.close();
      await fe.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

for (const { dialect, start } of BACK_ENDS) {
  describe(`our front end at their back end: ${dialect}`, () => {
    let be: FamilyBe;
    before(async () => {
      be = await start();
    });
    after(() => be.close());

    for (const [name, trial] of Object.entries(CLIENTS)) {
      it(`with the client of ${name}`, () => withFrontEnd(be, dialect, (fe) => trial(fe.port)));
    }

    it('with our own client, which does not touch a record that is there', () =>
      withFrontEnd(be, dialect, async (fe, client) => {
        const trial = () => run('fe-client', ['--server', `localhost:${fe.port}`]);
        const { code, stderr } = await trial();
        assert.equal(code, 0, stderr);
        const record = Buffer.from('mine');
        const { key } = await client.store('trial', record);
        assert.equal((await trial()).code, 7);
        assert.ok((await client.retrieve('trial', key)).record.equals(record));
        await client.delete('trial');
      }));

    it('keeps what is sealed under pseudonyms, and tells what was replaced', () =>
      withFrontEnd(be, dialect, async (_fe, client) => {
        be.records.clear();
        const first = await client.store('alice', Buffer.from('hello'));
        assert.equal(first.replaced, false);
        const second = await client.store('alice', Buffer.from('hello again'));
        assert.equal(second.replaced, true);
        assert.equal(be.records.size, 1);
        const [[id, value] = ['', '']] = be.records;
        assert.match(id, /^01[0-9a-f]{52}$/);
        assert.match(value, /^01[0-9a-f]+$/);
        assert.ok(!value.includes(Buffer.from('hello').toString('hex')));
        const { record } = await client.retrieve('alice', second.key);
        assert.equal(record.toString(), 'hello again');
        await assert.rejects(client.retrieve('alice', first.key), { code: 'WRONG_KEY' });
        assert.equal(await client.delete('alice'), true);
        assert.equal(await client.delete('alice'), false);
      }));

    it('answers many at once, each on a connection of its own, and resets none', () =>
      withFrontEnd(be, dialect, async (_fe, client) => {
        const ids = Array.from({ length: 40 }, (_none, index) => `id ${index}`);
        const keys = await Promise.all(ids.map((id) => client.store(id, Buffer.from(id))));
        const found = await Promise.all(
          ids.map((id, index) => client.retrieve(id, keys[index]?.key as Buffer)),
        );
        assert.deepEqual(
          found.map(({ record }) => record.toString()),
          ids,
        );
        assert.equal(be.broken(), undefined);
      }));

    it('refuses what such a back end cannot do, and stores nothing then', () =>
      withFrontEnd(be, dialect, async (_fe, client) => {
        be.records.clear();
        const record = Buffer.from('x');
        const refused = { code: 'UNKNOWN_FIELD' };
        await assert.rejects(client.store('a', record, { once: true }), refused);
        await assert.rejects(client.store('a', record, { ifAbsent: true }), refused);
        await assert.rejects(client.store('a', record, { expiryMs: Date.now() + 9_999 }), refused);
        await assert.rejects(client.list({}), refused);
        assert.equal(be.records.size, 0);
        // Whatever lies there, which is not looked at for that.
        await client.store('a', record);
        for (const id of be.records.keys()) be.records.set(id, '00');
        const ifRevision = Buffer.alloc(8);
        await assert.rejects(client.store('a', record, { ifRevision }), refused);
        await assert.rejects(client.delete('a', { ifRevision }), refused);
      }));
  });
}

it('a record that is too long for one message of Python is refused before it is sent', async () => {
  const be = await startPythonBe();
  await withFrontEnd(be, 'python', async (_fe, client) => {
    const fits = await client.store('a', Buffer.alloc(200, 7));
    assert.equal((await client.retrieve('a', fits.key)).record.length, 200);
    await assert.rejects(client.store('a', Buffer.alloc(500, 7)), { code: 'RECORD_TOO_LARGE' });
    assert.equal((await client.retrieve('a', fits.key)).record.length, 200);
  });
  await be.close();
});

it('their back end may go away and come back', async () => {
  let be = await startGoV1Be();
  const { port } = be;
  await withFrontEnd(be, 'go-v1', async (_fe, client) => {
    const { key } = await client.store('alice', Buffer.from('x'));
    const kept = new Map(be.records);
    await be.close();
    await assert.rejects(client.retrieve('alice', key, { timeoutMs: 500 }), {
      code: 'UNAVAILABLE',
    });
    be = await startGoV1Be(port);
    for (const [id, value] of kept) be.records.set(id, value);
    assert.equal((await client.retrieve('alice', key)).record.toString(), 'x');
  });
  await be.close();
});

it('a proof of key, TLS and a token are refused at the start', async () => {
  const be = await startGoV1Be();
  const none = async () => assert.fail('it started');
  const proof = { feServerConfigs: { writePolicy: 'key-proof' } } as const;
  await assert.rejects(withFrontEnd(be, 'go-v1', none, proof), { code: 'BAD_CONFIG' });
  const token = { beClientConfigs: { tls: true } };
  await assert.rejects(withFrontEnd(be, 'go-v1', none, token), { code: 'BAD_CONFIG' });
  await be.close();
});
