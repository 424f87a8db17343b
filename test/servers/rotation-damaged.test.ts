/** A rotation of the keyring with a record in the store whose kept key is damaged. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { type Keyring, loadKeyring } from '../../lib/crypto/keyring.ts';
import { ITEMS_NAMESPACE } from '../../lib/fe/reserved.ts';
import { Ring } from '../../lib/fe/ring.ts';
import { Rotation } from '../../lib/fe/rotation.ts';
import { ALWAYS } from '../../lib/store/store.ts';
import { http, httpJson } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

const WAIT_MS = 10_000;
const NAME = { namespace: ITEMS_NAMESPACE, id: Buffer.from('1') };

let servers: TestServers;
let path: string;

before(async () => {
  servers = await startServers();
  path = servers.config.feServerConfigs.keyring;
});
after(() => servers.close());

function link() {
  return { address: { host: '127.0.0.1', port: servers.be.port }, timeoutMs: WAIT_MS };
}

async function storeKey(): Promise<Buffer> {
  return new Ring((await loadKeyring(path)) as Keyring).active.storeKey(NAME);
}

/** Flips a bit at the end of the head, in the wrapped key; twice, and it is as it was. */
async function flip(): Promise<void> {
  const keyring = (await loadKeyring(path)) as Keyring;
  const be = new BeClient({ ...link(), keyring: async () => keyring });
  try {
    const key = await storeKey();
    const { head: found, body = Buffer.alloc(0) } = await be.get(key, 1_000);
    const head = Buffer.from(found);
    head.writeUInt8(head.readUInt8(head.length - 1) ^ 1, head.length - 1);
    await be.put(key, { head, body, expiryMs: 0 }, ALWAYS);
  } finally {
    be.close();
  }
}

async function item(id: number): Promise<unknown> {
  return (await http(servers.fe.port, 'GET', `/data/${id}`)).json();
}

async function create(id: number): Promise<unknown> {
  return (await httpJson(servers.fe.port, 'POST', '/data', { id, data: `item ${id}` })).json();
}

it('ends, with the damage told, and loses nothing by it', async () => {
  for (const id of [1, 2]) assert.deepEqual(await create(id), { id, data: `item ${id}` });
  await flip();
  const rotation = new Rotation({ path, link: link() });
  // The second time it is wrapped under an entry that was retired before.
  for (const next of [3, 4]) {
    await rotation.add();
    await rotation.activate(WAIT_MS, () => undefined);
    const { failed, damagedKeys } = await rotation.rewrap({});
    assert.deepEqual(failed, []);
    const damaged = [(await storeKey()).toString('hex')];
    assert.deepEqual(damagedKeys, damaged);
    const told: string[] = [];
    await rotation.retire((key) => told.push(key));
    assert.deepEqual(told, damaged);
    // It is there, and still nobody can read or replace it.
    assert.match(JSON.stringify(await item(1)), /do not fit their tag/);
    assert.deepEqual(await item(2), { id: 2, data: 'item 2' });
    assert.deepEqual(await create(1), { id: next, data: 'item 1' });
  }
  assert.deepEqual((await http(servers.fe.port, 'GET', '/data')).json(), [1, 2, 3, 4]);
  await flip();
  assert.deepEqual(await item(1), { id: 1, data: 'item 1' });
});
