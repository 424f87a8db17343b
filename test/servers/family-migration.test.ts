/**
 * What the family's servers have stored, moved under our pseudonyms. The documents are made here as
 * those servers make them; `test/integration/family-migration.test.ts` has them in MongoDB.
 */
import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { decodeHeader } from '../../lib/crypto/envelope.ts';
import { decodeHead } from '../../lib/crypto/head.ts';
import { loadKeyring } from '../../lib/crypto/keyring.ts';
import { EncServerError } from '../../lib/errors.ts';
import { drawKey, FeClient } from '../../lib/fe/client.ts';
import { type FamilyEntry, FamilyRecords } from '../../lib/fe/family-records.ts';
import { type EntrySource, Migration } from '../../lib/fe/migration.ts';
import { statePathOf } from '../../lib/fe/migration-state.ts';
import { OPCODE } from '../../lib/protocol/messages.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { startHeldFe } from '../helpers/frame-proxy.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';
import { ask, until } from '../helpers/wire.ts';

const ID_KEY = Buffer.from('0123456789abcdefghijklmnopqrstuv');
const ID_NONCE = Buffer.from('nonce-of-ids');
const SECRETS = { key: ID_KEY, nonce: ID_NONCE };
const untold = () => undefined;

let servers: TestServers;
let client: FeClient;
let migration: Migration;
let keyringPath: string;
let documents: FamilyEntry[];

beforeEach(async () => {
  servers = await startServers();
  client = new FeClient({ address: { host: '127.0.0.1', port: servers.fe.port } });
  keyringPath = join(servers.folder, 'fe', 'keyring.json');
  const link = { address: { host: '127.0.0.1', port: servers.be.port } };
  migration = new Migration({ path: keyringPath, link });
  documents = [];
});
afterEach(async () => {
  client.close();
  await servers.close();
});

function gcm(key: Buffer, nonce: Buffer, text: Buffer): Buffer {
  const cipher = createCipheriv(`aes-${8 * key.length}-gcm` as 'aes-256-gcm', key, nonce);
  return Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]);
}

function add(id: Buffer, record: Buffer): void {
  const position = `{"$oid":"${documents.length.toString(16).padStart(24, '0')}"}`;
  documents.push({ position, id: id.toString('hex'), record: record.toString('hex') });
}

/** As a Go server stores it. */
function addGo(id: string, record: string, key = drawKey()): Buffer {
  const nonce = randomBytes(12);
  const pseudonym = Buffer.concat([ID_NONCE, gcm(ID_KEY, ID_NONCE, Buffer.from(id))]);
  add(pseudonym, Buffer.concat([nonce, gcm(key, nonce, Buffer.from(record))]));
  return key;
}

function addPython(id: string, record: string, key = drawKey()): Buffer {
  add(gcm(key, ID_NONCE, Buffer.from(id)), gcm(key, ID_NONCE, Buffer.from(record)));
  return key;
}

/** The documents, in the order of their positions; the source goes away after some of them. */
function source(goesAfter = Number.POSITIVE_INFINITY): EntrySource {
  return {
    place: 'mongodb://test/enc-server-go',
    count: async () => documents.length,
    async *documents(after = '') {
      let given = 0;
      for (const document of documents.filter(({ position }) => position > after)) {
        if (given++ >= goesAfter) throw new EncServerError('UNAVAILABLE', 'it went away');
        yield document;
      }
    },
  };
}

/** One that goes away midway in the move: it is looked at whole before anything is written. */
function leavingSource(): EntrySource {
  let opened = 0;
  const whole = source();
  return {
    ...whole,
    documents: (after) => (opened++ === 0 ? whole : source(500)).documents(after),
  };
}

const goRecords = () => new FamilyRecords(SECRETS);
const run = (records = goRecords(), from = source(), skips = false) =>
  migration.run(from, records, skips, untold);

const text = async (id: string, key: Buffer) => `${(await client.retrieve(id, key)).record}`;

/** Header facts of all that is stored, as the back end tells them. */
async function headers() {
  const keyring = await loadKeyring(keyringPath);
  if (keyring === undefined) throw new Error('no keyring');
  const be = new BeClient({
    address: { host: '127.0.0.1', port: servers.be.port },
    keyring: async () => keyring,
  });
  try {
    const { items } = await be.scan(Buffer.of(1), undefined, 1_000);
    return items.map(({ head }) => decodeHeader(decodeHead(head).header));
  } finally {
    be.close();
  }
}

describe('records of the Go servers', () => {
  it('prove their key before a write, for which nothing else is read in their place', async () => {
    const key = addGo('alice', 'hello');
    await run();
    const { revision } = await client.head('alice');
    const held = await startHeldFe(servers);
    const slow = new FeClient({ address: { host: '127.0.0.1', port: held.fe.port } });
    try {
      const caught = held.proxy.hold(OPCODE.GET);
      const record = Buffer.from('late');
      const writing = slow.store('alice', record, { oldKey: key, ifRevision: revision });
      const letGo = await caught;
      await client.store('alice', Buffer.from('read me'), { key, once: true });
      letGo();
      await rejectsWith(writing, 'CONFLICT');
      assert.equal(await text('alice', key), 'read me');
    } finally {
      slow.close();
      await held.close();
    }
  });

  it('open with their old keys, and are sealed anew by the first who has one', async () => {
    const key = addGo('alice', 'hello');
    addGo('bob', '');
    const { counts } = await run();
    assert.deepEqual(counts, { moved: 2, known: 0, conflicts: 0, skipped: 0 });
    assert.deepEqual(
      (await headers()).map(({ suite, flags }) => [suite, flags]),
      [
        [240, 8],
        [240, 8],
      ],
    );
    await rejectsWith(client.retrieve('alice', drawKey()), 'WRONG_KEY');
    assert.ok(
      (await headers()).every(({ suite }) => suite === 240),
      'a wrong key changes nothing',
    );
    assert.equal(await text('alice', key), 'hello');
    const kinds = (await headers()).map(({ suite, flags }) => `${suite} ${flags}`).sort();
    assert.deepEqual(kinds, ['1 10', '240 8']);
    assert.equal(await text('alice', key), 'hello');
    await rejectsWith(client.retrieve('alice', drawKey()), 'WRONG_KEY');
    assert.deepEqual((await client.list({})).ids.map(String).sort(), ['alice', 'bob']);
  });

  for (const length of [16, 24]) {
    it(`open with keys of ${length} bytes in every dialect, until they get another`, async () => {
      const key = addGo('alice', 'hello', randomBytes(length));
      await run();
      assert.equal(await text('alice', key), 'hello');
      const port = servers.fe.port;
      assert.equal(`${await ask(port, `RETRIEVE alice ${key.toString('hex')}\n`)}`.trim(), 'hello');
      const headersOf = { 'Enc-Record-Key': key.toString('hex') };
      const answer = await fetch(`http://127.0.0.1:${port}/v1/records/alice`, {
        headers: headersOf,
      });
      assert.equal(await answer.text(), 'hello');
      assert.ok((await headers()).every(({ suite }) => suite === 240));
      const newKey = drawKey();
      await client.rekey('alice', key, newKey);
      assert.equal(await text('alice', newKey), 'hello');
      await rejectsWith(client.retrieve('alice', key), 'WRONG_KEY');
      assert.ok((await headers()).every(({ suite }) => suite === 1));
    });
  }

  it('can be deleted and replaced by who shows the old key', async () => {
    const [a, b] = [addGo('a', '1'), addGo('b', '2', randomBytes(16))];
    await run();
    const other = randomBytes(16);
    await rejectsWith(client.delete('b', { key: other }), 'WRONG_KEY');
    assert.equal(await client.delete('b', { key: b }), true);
    await rejectsWith(client.store('a', Buffer.from('x'), { oldKey: other }), 'WRONG_KEY');
    const { key } = await client.store('a', Buffer.from('x'), { oldKey: a });
    assert.equal(await text('a', key), 'x');
  });

  it('of a thousand, all are moved, and old keys open them', async () => {
    const keys = Array.from({ length: 1_000 }, (_none, index) => addGo(`id ${index}`, `${index}`));
    const told: number[] = [];
    const { counts } = await migration.run(source(), goRecords(), false, (done) => told.push(done));
    assert.equal(counts.moved, 1_000);
    assert.equal(told.at(-1), 1_000);
    for (const index of [0, 199, 200, 999]) {
      assert.equal(await text(`id ${index}`, keys[index] as Buffer), `${index}`);
    }
  });
});

describe('records of the Python servers', () => {
  it('are moved with their keys alone, and sealed anew at once', async () => {
    const long = addPython('alice', 'hello');
    const short = addPython('bob', 'hi', randomBytes(16));
    addGo('carol', 'x');
    await rejectsWith(run(), 'WRONG_KEY');
    assert.deepEqual(await headers(), [], 'nothing was written');
    const keys = [
      { id: Buffer.from('alice'), key: long },
      { id: Buffer.from('bob'), key: short },
    ];
    const survey = await migration.survey(source(), new FamilyRecords(SECRETS, keys), untold);
    assert.deepEqual(
      { ...survey, problems: [] },
      { documents: 3, go: 1, python: 2, unreadable: 0, conflicts: 0, problems: [], duplicates: [] },
    );
    await run(new FamilyRecords(SECRETS, keys));
    assert.equal(await text('alice', long), 'hello');
    assert.equal(await text('bob', short), 'hi');
  });
});

describe('what is in the way of a migration', () => {
  it('secrets that do not fit: nothing is written', async () => {
    addGo('alice', 'hello');
    const wrong = new FamilyRecords({ key: Buffer.alloc(32, 1), nonce: ID_NONCE });
    await rejectsWith(run(wrong), 'WRONG_KEY');
    assert.deepEqual(await headers(), []);
    assert.equal((await loadKeyring(keyringPath))?.legacy, undefined);
  });

  it('documents that are none: refused, or passed over and counted', async () => {
    const key = addGo('alice', 'hello');
    documents.push({ position: '{"$oid":"f0"}', id: 'zz', record: '00' });
    documents.push({ position: '{"$oid":"f1"}', id: 7, record: undefined });
    await rejectsWith(run(), 'ALTERED');
    const { counts } = await run(goRecords(), source(), true);
    assert.deepEqual(counts, { moved: 1, known: 0, conflicts: 0, skipped: 2 });
    assert.equal(await text('alice', key), 'hello');
  });

  it('a document that is there twice: once if it is the same, else the first one counts', async () => {
    const key = addGo('alice', 'first');
    const [first] = documents;
    add(Buffer.from(String(first?.id), 'hex'), Buffer.from(String(first?.record), 'hex'));
    addGo('alice', 'second');
    const { counts, conflicts } = await run();
    assert.deepEqual(counts, { moved: 1, known: 1, conflicts: 1, skipped: 0 });
    assert.deepEqual(
      conflicts.map(({ position }) => position),
      [documents[2]?.position],
    );
    assert.equal(await text('alice', key), 'first');
  });

  it('a record of ours under the name: it is left alone', async () => {
    const { key } = await client.store('alice', Buffer.from('ours'));
    addGo('alice', 'theirs');
    assert.equal((await run()).counts.conflicts, 1);
    assert.equal(await text('alice', key), 'ours');
  });

  it('a source that goes away midway: it goes on, and each document is counted once', async () => {
    const keys = Array.from({ length: 900 }, (_none, index) => addGo(`id ${index}`, `${index}`));
    await rejectsWith(run(goRecords(), leavingSource()), 'UNAVAILABLE');
    assert.equal(await text('id 0', keys[0] as Buffer), '0');
    await client.delete('id 1');
    const { counts } = await run();
    assert.equal(counts.moved + counts.known, 900);
    assert.equal(counts.conflicts, 0);
    assert.equal(await text('id 899', keys[899] as Buffer), '899');
    await rejectsWith(client.retrieve('id 1', keys[1] as Buffer), 'NOT_FOUND');
    await rejectsWith(run(), 'CONFLICT');
  });

  it('a source that loses some of what was read: it is not done', async () => {
    for (let index = 0; index < 3; index++) addGo(`id ${index}`, `${index}`);
    let opened = 0;
    const losing: EntrySource = {
      ...source(),
      async *documents(after) {
        const isRead = opened++ === 0;
        for await (const one of source().documents(after))
          if (isRead || one !== documents[1]) yield one;
      },
    };
    const error = await rejectsWith(run(goRecords(), losing), 'CONFLICT');
    assert.match(error.message, /3 documents were read, and 2 moved/);
    await rm(statePathOf(keyringPath));
    assert.deepEqual((await run()).counts, { moved: 1, known: 2, conflicts: 0, skipped: 0 });
  });

  it('another migration: the second refuses', async () => {
    addGo('alice', 'hello');
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    let begin: () => void = () => undefined;
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const slow: EntrySource = {
      ...source(),
      async *documents(after) {
        begin();
        await gate;
        yield* source().documents(after);
      },
    };
    const first = run(goRecords(), slow);
    // Whichever came first would be let in.
    await Promise.race([begun, first]);
    await rejectsWith(run(), 'CONFLICT');
    open();
    assert.equal((await first).counts.moved, 1);
  });

  it('no keyring, or another one', async () => {
    addGo('alice', 'hello');
    const link = { address: { host: '127.0.0.1', port: servers.be.port } };
    const lost = new Migration({ path: join(servers.folder, 'none.json'), link });
    await rejectsWith(lost.run(source(), goRecords(), false, untold), 'KEYRING_MISSING');
    const other = await startServers();
    const path = join(other.folder, 'fe', 'keyring.json');
    const strange = new Migration({ path, link });
    await rejectsWith(strange.run(source(), goRecords(), false, untold), 'KEYRING_MISMATCH');
    await other.close();
    await rm(other.folder, { recursive: true, force: true });
  });
});

describe('of several documents for one ID the first one counts', () => {
  const positions = (problems: readonly { position: string }[]) =>
    problems.map(({ position }) => position);

  it('whichever servers stored them, under whatever keys: the dry run tells it, too', async () => {
    const keys: { id: Buffer; key: Buffer }[] = [];
    const python = (id: string, record: string) => {
      const key = addPython(id, record);
      keys.push({ id: Buffer.from(id), key });
      return key;
    };
    const firsts = new Map<string, Buffer>();
    const later: FamilyEntry[] = [];
    // Side by side, so that they are on their way at the same time.
    for (let index = 0; index < 10; index++) {
      for (const [id, first, second] of [
        [`twice Python ${index}`, python, python],
        [`Python, Go ${index}`, python, addGo],
        [`Go, Python ${index}`, addGo, python],
        [`twice Go ${index}`, addGo, addGo],
      ] as const) {
        firsts.set(id, first(id, `first of ${id}`));
        second(id, 'second');
        later.push(documents.at(-1) as FamilyEntry);
      }
    }
    // The first one again, as another program writes it.
    const { id, record } = documents[0] as FamilyEntry;
    const position = '{"$oid":"f0"}';
    documents.push({ position, id: `${id}`.toUpperCase(), record: `${record}`.toUpperCase() });
    const records = new FamilyRecords(SECRETS, keys);
    const survey = await migration.survey(source(), records, untold);
    assert.deepEqual(
      [survey.documents, survey.unreadable, survey.conflicts, survey.problems.length],
      [81, 0, 40, 0],
    );
    assert.deepEqual(positions(survey.duplicates), positions(later).slice(0, 20));
    const { counts, conflicts } = await run(records);
    assert.deepEqual(counts, { moved: 40, known: 1, conflicts: 40, skipped: 0 });
    assert.deepEqual(positions(conflicts), positions(survey.duplicates));
    for (const [id, key] of firsts) assert.equal(await text(id, key), `first of ${id}`);
  });

  it('when it was interrupted, and the first one read or deleted since, too', async () => {
    const keys = Array.from({ length: 900 }, (_none, index) => addGo(`id ${index}`, `${index}`));
    const strayKeys = ['id 7', 'id 8', 'id 9'].map((id) => addGo(id, 'another'));
    await rejectsWith(run(goRecords(), leavingSource()), 'UNAVAILABLE');
    assert.equal(await text('id 7', keys[7] as Buffer), '7');
    await client.delete('id 8');
    const { counts, conflicts } = await run();
    assert.equal(counts.moved + counts.known, 900);
    assert.equal(counts.conflicts, 3);
    assert.deepEqual(positions(conflicts), positions(documents.slice(900)));
    assert.equal(await text('id 7', keys[7] as Buffer), '7');
    await rejectsWith(client.retrieve('id 8', strayKeys[1] as Buffer), 'NOT_FOUND');
    assert.equal(await text('id 9', keys[9] as Buffer), '9');
  });

  it('and what lies under the name under another key is not taken for it', async () => {
    const keys = [addPython('alice', 'first'), addPython('alice', 'second')];
    const records = new FamilyRecords(
      SECRETS,
      keys.map((key) => ({ id: Buffer.from('alice'), key })),
    );
    const first = documents.shift() as FamilyEntry;
    await run(records);
    await rm(statePathOf(keyringPath));
    documents.unshift(first);
    const { counts } = await run(records);
    assert.deepEqual(counts, { moved: 0, known: 0, conflicts: 2, skipped: 0 });
    assert.equal(await text('alice', keys[1] as Buffer), 'second');
  });
});

describe('the end of a migration', () => {
  it('is refused while records lie as they were, unless they are to be left', async () => {
    const [a, b] = [addGo('a', '1'), addGo('b', '2')];
    await run();
    await rejectsWith(migration.finish(false), 'CONFLICT');
    assert.equal(await text('a', a), '1');
    assert.equal(await migration.finish(true), 1);
    await until(async () => {
      const code = await client.retrieve('b', b).then(
        () => 'opened',
        ({ code }) => code,
      );
      return code === 'ALTERED';
    });
    assert.equal(await text('a', a), '1');
    await rejectsWith(client.retrieve('a', randomBytes(16)), 'WRONG_KEY');
  });

  it('comes by itself when everything was read', async () => {
    const key = addGo('a', '1');
    await run();
    await client.retrieve('a', key);
    assert.equal(await migration.finish(false), 0);
    assert.equal((await loadKeyring(keyringPath))?.legacy, undefined);
    assert.equal(await text('a', key), '1');
  });
});
