/** What the console loads and asks; `test/e2e` uses it in a browser. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { http } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

let servers: TestServers;
let port: number;
before(async () => {
  servers = await startServers();
  port = servers.fe.port;
});
after(() => servers.close());

describe('the console', () => {
  it('is one page whose files are all there, with a type and a policy', async () => {
    const page = await http(port, 'GET', '/', { headers: { Accept: 'text/html' } });
    assert.match(String(page.headers['content-security-policy']), /default-src 'none'/);
    const files = [...`${page.body}`.matchAll(/(?:src|href)="(\/console\/[^"]+)"/g)];
    const names = files.map(([, name = '']) => name);
    assert.ok(names.length >= 3);
    for (const name of names) {
      const file = await http(port, 'GET', name);
      assert.equal(file.status, 200, name);
      assert.match(
        String(file.headers['content-type']),
        /^(?:text\/(?:css|javascript)|image\/svg)/,
      );
      assert.equal(file.headers['x-content-type-options'], 'nosniff');
      for (const [, imported = ''] of `${file.body}`.matchAll(/from '\.\/([^']+)'/g)) {
        assert.equal((await http(port, 'GET', `/console/${imported}`)).status, 200, imported);
      }
    }
  });

  it('is told how the server is', async () => {
    const status = (await http(port, 'GET', '/v1/status')).json();
    assert.deepEqual(
      { ...status, version: '', recordBytesMax: 0 },
      {
        version: '',
        tls: false,
        needsToken: false,
        recordBytesMax: 0,
        ready: true,
        backEnd: true,
        store: 'memory',
      },
    );
    await servers.stopBe();
    const away = (await http(port, 'GET', '/v1/status')).json();
    assert.deepEqual([away['ready'], away['backEnd'], away['store']], [false, false, undefined]);
    await servers.restartBe();
  });

  it('is told nothing of the store where nobody says who asks', async () => {
    const closed = await startServers({ feServerConfigs: { auth: 'required' } });
    try {
      const status = (await http(closed.fe.port, 'GET', '/v1/status')).json();
      assert.equal(status['needsToken'], true);
      for (const name of ['ready', 'backEnd', 'store', 'caller'])
        assert.equal(status[name], undefined);
      const headers = { Authorization: `Bearer est_000000000000_${'A'.repeat(43)}` };
      assert.equal((await http(closed.fe.port, 'GET', '/v1/status', { headers })).status, 401);
      const page = await http(closed.fe.port, 'GET', '/', { headers: { Accept: 'text/html' } });
      assert.equal(page.status, 200);
    } finally {
      await closed.close();
    }
  });
});
