import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { RawHttp } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

let servers: TestServers;

before(async () => {
  servers = await startServers();
});
after(() => servers.close());

/** The target goes out as it is: an HTTP client would encode it, or cut it. */
async function ask(method: string, target: string): Promise<string> {
  const raw = new RawHttp(servers.fe.port);
  raw.write(`${method} ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  await raw.closed;
  raw.destroy();
  return raw.received;
}

describe('the target of a request', () => {
  it('reaches no other record where its ID has a bare # or ?', async () => {
    assert.match(await ask('PUT', '/v1/records/hashy'), /^HTTP\/1\.1 201 /);
    for (const method of ['PUT', 'DELETE', 'HEAD']) {
      for (const rest of ['#2', '#', '?', '?2', '?a#b']) {
        const received = await ask(method, `/v1/records/hashy${rest}`);
        assert.match(received, /^HTTP\/1\.1 400 /, `${method} ${rest}`);
        if (method !== 'HEAD') assert.match(received, /"code":"INVALID_FIELD".*%(?:23|3F)/);
      }
    }
    assert.match(await ask('HEAD', '/v1/records/hashy'), /^HTTP\/1\.1 200 /);
  });

  it('has no fragment, whatever it is for', async () => {
    for (const target of ['/data#', '/data/1#2', '/records/61#?key=', '/v1/record#', '/nowhere#']) {
      assert.match(await ask('GET', target), /^HTTP\/1\.1 400 .*%23/s, target);
    }
    assert.match(await ask('GET', '/data#'), /\{"detail":"/);
    assert.match(await ask('GET', '/records/61#'), /\{"message":"/);
  });

  it('leads to one record for each ID', async () => {
    const ids = ['a', 'A', 'a;', 'a;b', 'a%3Fb', 'a%23b', 'a%2523b', 'a%2Fb', 'a%5Cb', '%2E%2E'];
    for (const id of ids) {
      assert.match(await ask('PUT', `/v1/records/${id}`), /^HTTP\/1\.1 201 /, id);
    }
    for (const path of ['/v1/records/a/', '/v1/records//a', '//v1/records/a', '/V1/records/a']) {
      assert.match(await ask('PUT', path), /^HTTP\/1\.1 404 /, path);
    }
  });
});
