/** Records that have ended, though the store still has them: they count as absent. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it, mock } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { type Keyring, loadKeyring } from '../../lib/crypto/keyring.ts';
import { drawKey, FeClient } from '../../lib/fe/client.ts';
import { Ring } from '../../lib/fe/ring.ts';
import { Rotation } from '../../lib/fe/rotation.ts';
import { ALWAYS } from '../../lib/store/store.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

const WAIT_MS = 10_000;
/** By the clock of the test, which stands still while records are stored. */
const LIFE_MS = 60_000;
const RECORD = Buffer.from('x');

let servers: TestServers;
let client: FeClient;
let path: string;

before(async () => {
  servers = await startServers();
  path = servers.config.feServerConfigs.keyring;
  client = new FeClient({ address: { host: '127.0.0.1', port: servers.fe.port }, attemptsMax: 1 });
});
after(async () => {
  client.close();
  await servers.close();
});

function link() {
  return { address: { host: '127.0.0.1', port: servers.be.port }, timeoutMs: WAIT_MS };
}

/** As a store whose clock is behind has it: the record itself says when it ended. */
async function keepLonger(id: string): Promise<void> {
  const keyring = (await loadKeyring(path)) as Keyring;
  const be = new BeClient({ ...link(), keyring: async () => keyring });
  const key = new Ring(keyring).active.storeKey({
    namespace: Buffer.alloc(0),
    id: Buffer.from(id),
  });
  const { head, body = RECORD } = await be.get(key, 1_000);
  await be.put(key, { head, body, expiryMs: Date.now() + 3_600_000 }, ALWAYS);
  be.close();
}

/** Several records that end at the same time, with what their writers know of them. */
async function endedRecords(ids: readonly string[], alter = async (_id: string) => {}) {
  const expiryMs = Date.now() + LIFE_MS;
  const written = [];
  for (const id of ids) {
    const { key } = await client.store(id, RECORD, { expiryMs });
    await alter(id);
    written.push({ id, key, revision: (await client.head(id)).revision });
  }
  mock.timers.tick(LIFE_MS + 1);
  return written;
}

async function checkIsAbsentToWriters(written: Awaited<ReturnType<typeof endedRecords>>) {
  for (const [index, { id, key, revision }] of written.entries()) {
    const meant = { ifRevision: revision, oldKey: key };
    await rejectsWith(client.store(id, RECORD, meant), 'CONFLICT');
    await rejectsWith(client.store(id, RECORD, { ifRevision: revision }), 'CONFLICT');
    await rejectsWith(client.delete(id, { ifRevision: revision }), 'CONFLICT');
    // Where there is nothing, no key is a wrong one.
    const oldKey = index === 0 ? key : drawKey();
    const { replaced } = await client.store(id, RECORD, { oldKey });
    assert.equal(replaced, false);
  }
}

describe('a record that has ended', () => {
  beforeEach(() => mock.timers.enable({ apis: ['Date'], now: Date.now() }));
  afterEach(() => mock.timers.reset());

  it('counts as absent to writers, by a store whose clock is behind', async () => {
    await checkIsAbsentToWriters(await endedRecords(['behind', 'behind too'], keepLonger));
  });

  it('counts as absent to writers, while graves may be met', async () => {
    const rotation = new Rotation({ path, link: link() });
    await rotation.add();
    await rotation.activate(WAIT_MS, () => undefined);
    await checkIsAbsentToWriters(await endedRecords(['rotated', 'rotated too']));
    await rotation.rewrap({});
    await rotation.retire();
    await checkIsAbsentToWriters(await endedRecords(['retired', 'retired too'], keepLonger));
  });
});
