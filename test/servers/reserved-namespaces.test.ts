/** The namespaces of the server itself: nobody writes there but through `/data`. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { FeClient } from '../../lib/fe/client.ts';
import { makeToken } from '../helpers/access.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { http } from '../helpers/http.ts';
import { startServers, temporaryFolder } from '../helpers/servers.ts';
import { Wire } from '../helpers/wire.ts';

test('a token that is bound to one is for /data alone, in every dialect', async () => {
  const folder = await temporaryFolder();
  const tokens = join(folder, 'tokens.json');
  const bound = { namespace: 'enc-server-ts/data' };
  const { token } = await makeToken(tokens, ['store', 'retrieve', 'delete'], bound);
  const servers = await startServers({ feServerConfigs: { auth: 'required', tokens } });
  const { port } = servers.fe;
  const client = new FeClient({ address: { host: '127.0.0.1', port }, token, attemptsMax: 1 });
  try {
    const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
    const item = { id: 7, data: 'mine' };
    const made = await http(port, 'POST', '/data', { headers, body: JSON.stringify(item) });
    assert.deepEqual(made.json(), item);

    const put = await http(port, 'PUT', '/v1/records/7', { headers, body: 'x' });
    assert.equal(put.json()['code'], 'INVALID_NAMESPACE');
    const body = JSON.stringify({ items: [{ op: 'store', id: '7', record: 'x' }] });
    const batch = await http(port, 'POST', '/v1/batch', { headers, body });
    assert.match(batch.body.toString(), /INVALID_NAMESPACE/);
    await rejectsWith(client.store('7', Buffer.from('x')), 'INVALID_NAMESPACE');
    const wire = await Wire.open(port);
    wire.send(`AUTH ${token}\nSTORE 7 x\n`);
    assert.equal(await wire.line(), 'SUCCESS');
    assert.match(await wire.line(), /^ERROR INVALID_NAMESPACE /);
    wire.close();

    assert.deepEqual((await http(port, 'GET', '/data/7', { headers })).json(), item);
  } finally {
    client.close();
    await servers.close();
    await rm(folder, { recursive: true, force: true });
  }
});
