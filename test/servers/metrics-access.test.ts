/** Who may read /metrics: this machine, and operators. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makeToken } from '../helpers/access.ts';
import { http } from '../helpers/http.ts';
import { startServers, type TestServers, temporaryFolder } from '../helpers/servers.ts';

describe('who may read the page, where callers are known', () => {
  let folder: string;
  let servers: TestServers;
  let operator: string;
  let user: string;
  let frontEnd: string;
  before(async () => {
    folder = await temporaryFolder();
    const feTokens = join(folder, 'fe.json');
    const beTokens = join(folder, 'be.json');
    user = (await makeToken(feTokens, ['store', 'retrieve', 'delete'])).token;
    operator = (await makeToken(feTokens, ['admin'])).token;
    frontEnd = (await makeToken(beTokens, ['frontend'])).token;
    servers = await startServers({
      feServerConfigs: { auth: 'required', tokens: feTokens, trustedProxies: '127.0.0.1' },
      beServerConfigs: { auth: 'required', tokens: beTokens },
      beClientConfigs: { token: frontEnd },
    });
  });
  after(async () => {
    await servers.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('is whoever asks on this machine', async () => {
    for (const { port } of [servers.fe, servers.be]) {
      assert.equal((await http(port, 'GET', '/metrics')).status, 200);
      assert.equal((await http(port, 'HEAD', '/metrics')).status, 200);
    }
  });

  it('is no page in a browser of this machine', async () => {
    const headers = { Origin: 'http://evil.example' };
    assert.equal((await http(servers.be.port, 'GET', '/metrics', { headers })).status, 401);
    assert.equal((await http(servers.fe.port, 'GET', '/metrics', { headers })).status, 403);
  });

  it('is nobody behind a proxy of this machine, whatever address that names', async () => {
    const forwarding = [
      { 'X-Forwarded-For': '192.0.2.1' },
      { 'X-Forwarded-For': '127.0.0.1' },
      { 'X-Forwarded-For': '127.0.0.2' },
      { 'X-Forwarded-For': '::1' },
      { 'X-Forwarded-For': 'localhost' },
      { 'X-Forwarded-For': '' },
      { Forwarded: 'for=127.0.0.1' },
      { 'X-Real-IP': '127.0.0.1' },
      { Via: '1.1 proxy' },
    ];
    for (const { port } of [servers.fe, servers.be]) {
      for (const headers of forwarding) {
        const answer = await http(port, 'GET', '/metrics', { headers });
        assert.equal(answer.status, 401, JSON.stringify(headers));
        assert.equal(answer.headers['content-type'], 'application/problem+json');
        assert.equal(answer.headers['www-authenticate'], 'Bearer');
        assert.equal(answer.json()['code'], 'UNAUTHENTICATED');
        assert.doesNotMatch(answer.body.toString(), /enc_server_/);
      }
    }
  });

  it('is an operator from anywhere, and no other caller', async () => {
    const ask = (port: number, token: string) => {
      const headers = { 'X-Forwarded-For': '192.0.2.1', Authorization: `Bearer ${token}` };
      return http(port, 'GET', '/metrics', { headers });
    };
    assert.equal((await ask(servers.fe.port, operator)).status, 200);
    const refused = [await ask(servers.fe.port, user), await ask(servers.be.port, frontEnd)];
    for (const answer of refused) {
      assert.equal(answer.status, 403);
      assert.equal(answer.json()['code'], 'NOT_ALLOWED');
    }
    assert.equal((await ask(servers.be.port, operator)).status, 401);
  });

  it('is nobody whose token stands in the URL, whoever it is', async () => {
    for (const { port } of [servers.fe, servers.be]) {
      for (const query of [`token=${operator}`, 'access_token=x', `a=${operator}`]) {
        const answer = await http(port, 'GET', `/metrics?${query}`);
        assert.equal(answer.status, 403, query);
        assert.ok(!answer.body.includes(operator));
      }
    }
  });

  it('is no page of a browser that came here by another name', async () => {
    for (const headers of [{ Host: 'evil.example' }, { Origin: 'http://evil.example' }]) {
      assert.equal((await http(servers.fe.port, 'GET', '/metrics', { headers })).status, 403);
    }
  });

  it('is no page of a browser at the back end either, which has no list of names', async () => {
    const { port } = servers.be;
    for (const host of ['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example:8888']) {
      const answer = await http(port, 'GET', '/metrics', { headers: { Host: host } });
      assert.equal(answer.status, 401, host);
    }
    for (const host of ['localhost', `127.0.0.1:${port}`, '[::1]:1', 'LOCALHOST:8888']) {
      const answer = await http(port, 'GET', '/metrics', { headers: { Host: host } });
      assert.equal(answer.status, 200, host);
    }
  });

  it('is this machine alone where nobody is asked for a token', async () => {
    const open = await startServers({ feServerConfigs: { trustedProxies: '127.0.0.1' } });
    try {
      for (const { port } of [open.fe, open.be]) {
        assert.equal((await http(port, 'GET', '/metrics')).status, 200);
        const headers = { 'X-Forwarded-For': '192.0.2.1', Authorization: 'Bearer est_x' };
        assert.equal((await http(port, 'GET', '/metrics', { headers })).status, 401);
      }
    } finally {
      await open.close();
    }
  });

  it('matters not to probes', async () => {
    const headers = { 'X-Forwarded-For': '192.0.2.1', Host: 'pod.example' };
    for (const { port } of [servers.fe, servers.be]) {
      for (const path of ['/healthz', '/readyz']) {
        assert.equal((await http(port, 'GET', path, { headers })).status, 200);
      }
    }
  });
});
