/** What a restore may change, and what it leaves alone; what a backup claims of itself. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import {
  type BackupHeader,
  encodeEnd,
  encodeHeader,
  encodeItem,
  streamKeyOf,
} from '../../lib/backup/format.ts';
import { restoreBackup, verifyBackup } from '../../lib/backup/read.ts';
import { writeBackup } from '../../lib/backup/write.ts';
import { BeClient, type BeClientOptions } from '../../lib/be/client.ts';
import { startBe } from '../../lib/be/server.ts';
import type { PartialConfig } from '../../lib/config/load.ts';
import { StreamSealer } from '../../lib/crypto/stream.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { silentLog } from '../../lib/log.ts';
import { bytesField, type FieldEntry } from '../../lib/protocol/fields.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { FakeServer } from '../helpers/fake-server.ts';
import { startServers, type TestServers, temporaryFolder, testConfig } from '../helpers/servers.ts';

const untold = () => undefined;
const SECRET = { kind: 'key', key: randomBytes(32) } as const;

let servers: TestServers;
let client: FeClient;
let full: BeClientOptions;
let file: string;

beforeEach(async () => {
  servers = await startServers();
  full = { address: { host: '127.0.0.1', port: servers.be.port } };
  client = new FeClient({ address: { host: '127.0.0.1', port: servers.fe.port } });
  await client.store('a', Buffer.from('x'));
  file = join(servers.folder, 'backup');
});
afterEach(async () => {
  client.close();
  await servers.close();
});

async function backUp(link: BeClientOptions) {
  await writeFile(file, '');
  await writeBackup(link, SECRET, (bytes) => appendFile(file, bytes), untold);
}

/** Another back end, empty and without a front end. */
async function withBackEnd(
  use: (link: BeClientOptions, be: BeClient) => Promise<void>,
  beServerConfigs: PartialConfig['beServerConfigs'] = {},
) {
  const folder = await temporaryFolder();
  const running = await startBe(await testConfig(folder, { beServerConfigs }), silentLog);
  const link = { address: { host: '127.0.0.1', port: running.port } };
  const be = new BeClient(link);
  try {
    await use(link, be);
  } finally {
    be.close();
    await running.close();
    await rm(folder, { recursive: true, force: true });
  }
}

describe('a store that a backup is not restored into', () => {
  it('is not bound to the keyring of the backup', async () => {
    await backUp(full);
    await withBackEnd(async (link, be) => {
      await be.store('token', Buffer.from('opaque'));
      await rejectsWith(restoreBackup(file, SECRET, link, false, untold), 'CONFLICT');
      assert.equal(await be.askKeyring(), undefined);
    });
  });

  it('is as it was where its back end does not take the largest item', async () => {
    const small = { recordBytesMax: 65_536 };
    const isRefused = (words: RegExp) =>
      withBackEnd(async (link, be) => {
        const restoring = restoreBackup(file, SECRET, link, true, untold);
        const { message } = await rejectsWith(restoring, 'RECORD_TOO_LARGE');
        assert.match(message, words);
        assert.equal(await be.askKeyring(), undefined);
      }, small);
    await client.store('large', randomBytes(200_000));
    await backUp(full);
    await isRefused(/^item [12] of the backup has 200\d\d\d bytes/);
    await withBackEnd(async (link, be) => {
      await be.store('token', Buffer.alloc(65_537));
      await backUp(link);
    });
    await isRefused(/^item 1 of the backup has 65537 bytes/);
    await client.delete('large');
    await client.store('most', randomBytes(65_536));
    await backUp(full);
    await withBackEnd(async (link) => {
      const { restored } = await restoreBackup(file, SECRET, link, false, untold);
      assert.equal(restored, 2);
    }, small);
  });

  it('is not empty for a backup without a keyring either', async () => {
    await withBackEnd(backUp);
    assert.equal((await verifyBackup(file, SECRET, untold)).header.keyring, undefined);
    await rejectsWith(restoreBackup(file, SECRET, full, false, untold), 'CONFLICT');
  });
});

describe('what is written while a backup is restored', () => {
  const TOKENS = 2_000;
  const tokenOf = (number: number) => `token ${String(number).padStart(4, '0')}`;
  const LAST = tokenOf(TOKENS - 1);

  /** Writes over the last token once the first ones are restored. */
  async function restoreBeside(overwrites: boolean, check: (be: BeClient) => Promise<void>) {
    await withBackEnd(async (link, be) => {
      const numbers = Array.from({ length: TOKENS }, (_, number) => number);
      await Promise.all(numbers.map((number) => be.store(tokenOf(number), Buffer.from('old'))));
      await backUp(link);
    });
    await withBackEnd(async (link, be) => {
      await be.ping();
      let written: Promise<unknown> | undefined;
      const told = () => {
        written ??= be.store(LAST, Buffer.from('new'));
      };
      const restoring = restoreBackup(file, SECRET, link, overwrites, told);
      if (overwrites) assert.equal((await restoring).restored, TOKENS);
      else {
        const message = `restored ${TOKENS - 1} items, and left out 1, as something was written there meanwhile`;
        await assert.rejects(restoring, { code: 'CONFLICT', message });
      }
      await written;
      await check(be);
    });
  }

  it('stays, and is told', async () => {
    await restoreBeside(false, async (be) => {
      assert.equal(`${await be.retrieve(LAST)}`, 'new');
      assert.equal(`${await be.retrieve(tokenOf(TOKENS - 2))}`, 'old');
    });
  });

  it('is replaced where that is meant', async () => {
    await restoreBeside(true, async (be) => assert.equal(`${await be.retrieve(LAST)}`, 'old'));
  });
});

describe('a backup that no back end can have made', () => {
  const HEADER = { madeAtMs: 1, store: 'level', isOneMoment: true, salt: '00'.repeat(32) };
  const ITEM = {
    key: Buffer.from('\x02token'),
    head: Buffer.alloc(4_096),
    revision: Buffer.alloc(8),
    expiryMs: Number.MAX_SAFE_INTEGER,
    body: Buffer.from('x'),
  };

  async function verifyMade(header: object, item: object): Promise<number> {
    const headerBytes = encodeHeader({ ...HEADER, ...header } as BackupHeader);
    const sealer = new StreamSealer(streamKeyOf(SECRET.key, headerBytes));
    const text = Buffer.concat([encodeItem({ ...ITEM, ...item }), encodeEnd(1)]);
    const sealed = sealer.add(text);
    await writeFile(file, Buffer.concat([headerBytes, sealed, sealer.end()]));
    return (await verifyBackup(file, SECRET, untold)).items;
  }

  it('is refused by verify, not by the back end in the midst of a restore', async () => {
    assert.equal(await verifyMade({}, {}), 1);
    for (const item of [
      { key: Buffer.alloc(0) },
      { key: Buffer.of(2) },
      { key: Buffer.from('\x03token') },
      { key: Buffer.from('\x01token') },
      { key: Buffer.alloc(4_098, 2) },
      { head: Buffer.alloc(4_097) },
      { expiryMs: 2 ** 53 },
    ]) {
      await rejectsWith(verifyMade({}, item), 'ALTERED');
    }
  });

  it('is none where its header says what none can', async () => {
    assert.equal(await verifyMade({ keyring: '01'.repeat(16), epoch: 1 }, {}), 1);
    for (const header of [
      { madeAtMs: 9e15 },
      { madeAtMs: -1 },
      { keyring: '01' },
      { keyring: '01'.repeat(16) },
      { keyring: '01'.repeat(16), epoch: 0 },
      { epoch: 1 },
      { store: 1 },
    ]) {
      await rejectsWith(verifyMade(header, {}), 'INVALID_RECORD');
    }
  });
});

it('a backup claims no one moment where the store does not say what it is', async () => {
  const answers: Partial<Record<number, [fields: FieldEntry[], body?: Buffer]>> = {
    [OPCODE.HELLO]: [[bytesField(FIELD.STORE_ID, Buffer.alloc(16))]],
    // As every store tells it that takes no writes at the moment.
    [OPCODE.INFO]: [[], Buffer.from(JSON.stringify({ server: 'be', ok: false }))],
    [OPCODE.SNAPSHOT_OPEN]: [[bytesField(FIELD.LEASE, Buffer.alloc(8))]],
  };
  const fake = await FakeServer.start((request, peer) => {
    const [fields, body] = answers[request.code] ?? [[]];
    peer.reply(request, fields, body);
  });
  try {
    await backUp({ address: fake.address });
    const { header } = await verifyBackup(file, SECRET, untold);
    assert.deepEqual([header.store, header.isOneMoment], ['unknown', false]);
  } finally {
    await fake.close();
  }
  await backUp(full);
  const { header } = await verifyBackup(file, SECRET, untold);
  assert.deepEqual([header.store, header.isOneMoment], ['memory', true]);
});
