/** A damaged sealed ID: only what reads names back notices it, and the next write mends it. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { type Keyring, loadKeyring } from '../../lib/crypto/keyring.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { Ring } from '../../lib/fe/ring.ts';
import { Rotation } from '../../lib/fe/rotation.ts';
import { ALWAYS } from '../../lib/store/store.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

const WAIT_MS = 10_000;

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

/** Changes one byte of the sealed ID; resolves to the store key, in hexadecimal. */
async function damage(id: string): Promise<string> {
  const keyring = (await loadKeyring(servers.config.feServerConfigs.keyring)) as Keyring;
  const address = { host: '127.0.0.1', port: servers.be.port };
  const be = new BeClient({ address, keyring: async () => keyring });
  const name = { namespace: Buffer.alloc(0), id: Buffer.from(id) };
  const { storeKey } = new Ring(keyring).active.seal(name);
  const { head, body = Buffer.alloc(0) } = await be.get(storeKey, 1_000);
  const changed = Buffer.from(head);
  changed[10] = (head[10] as number) ^ 1;
  await be.put(storeKey, { head: changed, body, expiryMs: 0 }, ALWAYS);
  be.close();
  return storeKey.toString('hex');
}

it('a record with a damaged sealed ID is read, stops a listing, and stays behind until it is written', async () => {
  await client.store('whole', Buffer.from('x'));
  const { key } = await client.store('damaged', Buffer.from('y'));
  const storeKey = await damage('damaged');
  const isRead = async () => assert.equal(`${(await client.retrieve('damaged', key)).record}`, 'y');
  await isRead();
  const { message } = await rejectsWith(client.list({}), 'ALTERED');
  assert.ok(message.endsWith(`under the store key ${storeKey}`), message);

  const { keyring: path } = servers.config.feServerConfigs;
  const link = { address: { host: '127.0.0.1', port: servers.be.port }, timeoutMs: WAIT_MS };
  const rotation = new Rotation({ path, link });
  await rotation.add();
  await rotation.activate(WAIT_MS, () => undefined);
  const { moved, failed } = await rotation.rewrap({});
  assert.deepEqual({ moved, failed }, { moved: 1, failed: [{ storeKey, code: 'ALTERED' }] });
  await rejectsWith(rotation.retire(), 'CONFLICT');
  await isRead();

  await client.store('damaged', Buffer.from('z'));
  await rotation.retire();
  const { ids } = await client.list({});
  assert.deepEqual(ids.map(String).sort(), ['damaged', 'whole']);
});
