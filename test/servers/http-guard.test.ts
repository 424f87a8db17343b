import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { HostGuard } from '../../lib/fe/surfaces/http/guard.ts';
import { http } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

function allows(guard: HostGuard, host: string, origin?: string): boolean {
  try {
    guard.check(origin === undefined ? { host } : { host, origin });
    return true;
  } catch (error) {
    assert.equal((error as { code: string }).code, 'NOT_ALLOWED');
    assert.equal((error as { status: number }).status, 403);
    return false;
  }
}

describe('HostGuard', () => {
  const guard = new HostGuard('enc.internal', 'vault.example, .corp.example');

  it('knows loopback, its own host, what is listed, and addresses', () => {
    for (const host of [
      'localhost',
      'localhost:7777',
      'LOCALHOST:1',
      '127.0.0.1:7777',
      '[::1]:7777',
      '192.168.7.9',
      'enc.internal:80',
      'vault.example',
      'a.b.corp.example:443',
    ]) {
      assert.ok(allows(guard, host), host);
    }
  });

  it('knows no other name, and nothing malformed', () => {
    for (const host of [
      'evil.example',
      'evil.example:7777',
      'localhost.evil.example',
      'corp.example',
      'xcorp.example',
      'vault.example.evil',
      '127.0.0.1.evil.example',
      'localhost:7777:1',
      'user@localhost',
      '[::1',
      '',
    ]) {
      assert.ok(!allows(guard, host), host);
    }
  });

  it('knows any name where * is listed', () => {
    const open = new HostGuard('localhost', '*');
    assert.ok(allows(open, 'whatever.example'));
    assert.ok(!allows(open, 'whatever.example', 'http://other.example'));
  });

  it('takes only the origin that the request is for', () => {
    assert.ok(allows(guard, 'localhost:7777', 'http://localhost:7777'));
    assert.ok(allows(guard, 'vault.example', 'https://vault.example'));
    for (const origin of [
      'http://localhost:7778',
      'http://localhost',
      'https://evil.example',
      'null',
      '',
      'localhost:7777',
    ]) {
      assert.ok(!allows(guard, 'localhost:7777', origin), origin);
    }
  });

  it('lets HTTP/1.0 pass, which has no Host', () => {
    new HostGuard('localhost', '').check({});
  });
});

describe('the guard of the routes', () => {
  let servers: TestServers;
  before(async () => {
    servers = await startServers({ feServerConfigs: { allowedHosts: 'vault.example' } });
  });
  after(() => servers.close());
  const get = (path: string, headers: Record<string, string>) =>
    http(servers.fe.port, 'GET', path, { headers });

  it('refuses a foreign Host and a foreign Origin everywhere but on probes', async () => {
    for (const headers of [{ Host: 'evil.example' }, { Origin: 'https://evil.example' }]) {
      for (const path of [
        '/data',
        '/records/ab',
        '/v1/records/a',
        '/docs',
        '/openapi.json',
        '/x',
      ]) {
        const refused = await get(path, headers);
        assert.equal(refused.status, 403, path);
        assert.equal(refused.headers['access-control-allow-origin'], undefined);
      }
      assert.equal((await get('/healthz', headers)).status, 200);
      assert.equal((await get('/readyz', headers)).status, 200);
    }
    assert.equal((await get('/data', { Host: 'vault.example' })).status, 200);
  });

  it('answers no preflight', async () => {
    const port = servers.fe.port;
    const preflight = await http(port, 'OPTIONS', '/data', {
      headers: {
        Origin: `http://localhost:${port}`,
        Host: `localhost:${port}`,
        'Access-Control-Request-Method': 'POST',
      },
    });
    assert.equal(preflight.status, 405);
    assert.equal(preflight.headers['access-control-allow-methods'], undefined);
  });

  it('sends headers that keep browsers from guessing, framing and keeping', async () => {
    for (const path of ['/data', '/nowhere', '/v1/records/%ff']) {
      const { headers } = await get(path, {});
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['referrer-policy'], 'no-referrer');
      assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
      assert.equal(headers['cache-control'], 'no-store');
      assert.match(String(headers['content-security-policy']), /default-src 'none'/);
    }
  });
});
