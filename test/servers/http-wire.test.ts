import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { BeClient, parseAddress } from '../../lib/be/client.ts';
import type { PartialConfig } from '../../lib/config/load.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { http, httpJson, RawHttp } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

async function withServers(
  run: (servers: TestServers) => Promise<void>,
  flags: PartialConfig = {},
): Promise<void> {
  const servers = await startServers(flags);
  try {
    await run(servers);
  } finally {
    await servers.close();
  }
}

/** Waits until something holds; the runner's time limit ends it otherwise. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}

const HOST = 'Host: localhost\r\n';
const GET_HEALTH = `GET /healthz HTTP/1.1\r\n${HOST}\r\n`;

describe('HTTP on the one port', () => {
  it('keeps connections, and answers pipelined requests in order', async () => {
    await withServers(async ({ fe }) => {
      const raw = new RawHttp(fe.port);
      const put = (id: string) =>
        `PUT /v1/records/${id} HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\nhi`;
      raw.write(`${put('a')}${GET_HEALTH}${put('b')}GET /nowhere HTTP/1.1\r\n${HOST}\r\n`);
      await raw.saw(/201.*alive.*201.* 404 /s);
      raw.write(GET_HEALTH);
      await raw.saw(/ 404 .*"alive":true/s);
      raw.destroy();
    });
  });

  it('takes a request that comes byte by byte', async () => {
    await withServers(async ({ fe }) => {
      const raw = new RawHttp(fe.port);
      const request = `DELETE /v1/records/a HTTP/1.1\r\n${HOST}\r\n`;
      for (const byte of request) {
        raw.write(byte);
        await new Promise(setImmediate);
      }
      await raw.saw(/^HTTP\/1\.1 204 /);
      raw.destroy();
    });
  });

  it('takes chunked bodies', async () => {
    await withServers(async ({ fe }) => {
      const raw = new RawHttp(fe.port);
      raw.write(`POST /data HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`);
      raw.write('8\r\n{"id":1,\r\n');
      raw.write('c\r\n"data":"yo"}\r\n0\r\n\r\n');
      await raw.saw(/200 OK.*{"id":1,"data":"yo"}/s);
      raw.destroy();
    });
  });

  it('says 100 Continue once it will read the body, and the end at once if not', async () => {
    await withServers(
      async ({ fe }) => {
        const head = (bytes: number) =>
          `PUT /v1/records/a HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: ${bytes}\r\n\r\n`;
        const raw = new RawHttp(fe.port);
        raw.write(head(5));
        await raw.saw(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
        raw.write('hello');
        await raw.saw(/201 Created/);
        raw.write(head(5_000));
        await raw.saw(/201 Created.* 413 .*connection: close/is);
        await raw.closed;
        assert.equal(raw.received.match(/100 Continue/g)?.length, 1);
        raw.destroy();
      },
      { feServerConfigs: { recordBytesMax: '4KiB' } },
    );
  });

  it('refuses a chunked body once it is too large', async () => {
    await withServers(
      async ({ fe }) => {
        const raw = new RawHttp(fe.port);
        raw.write(`PUT /v1/records/a HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`);
        for (let chunk = 0; chunk < 5; chunk++) raw.write(`400\r\n${'x'.repeat(1024)}\r\n`);
        await raw.saw(/^HTTP\/1\.1 413 .*RECORD_TOO_LARGE/s);
        raw.write('0\r\n\r\n');
        raw.write(GET_HEALTH);
        await raw.saw(/"alive":true/);
        raw.destroy();
      },
      { feServerConfigs: { recordBytesMax: '4KiB' } },
    );
  });

  it('answers a client that has sent all it will', async () => {
    await withServers(async ({ fe, be }) => {
      for (const port of [fe.port, be.port]) {
        const raw = new RawHttp(port);
        raw.socket.end(GET_HEALTH);
        await raw.saw(/"alive":true/);
        await raw.closed;
      }
    });
  });

  it('answers 400 to a request that ends early, and to what is no HTTP', async () => {
    await withServers(async ({ fe }) => {
      const early = new RawHttp(fe.port);
      early.socket.end('DELETE /data HTTP/1.1');
      await early.saw(/^HTTP\/1\.1 400 .*INVALID_LINE.*an empty line ends the headers/s);
      const bad = new RawHttp(fe.port);
      bad.write(`GET /data HTTP/1.1\r\nHost : x\r\nContent-Length: x\r\n\r\n`);
      await bad.saw(/^HTTP\/1\.1 400 .*problem\+json.*INVALID_LINE/s);
      await bad.closed;
      const hostless = new RawHttp(fe.port);
      hostless.write('GET /data HTTP/1.1\r\n\r\n');
      await hostless.saw(/^HTTP\/1\.1 400 /);
      hostless.destroy();
    });
  });

  it('answers 431 to huge headers', async () => {
    await withServers(async ({ fe }) => {
      const raw = new RawHttp(fe.port);
      raw.write(`GET /data HTTP/1.1\r\n${HOST}X: ${'x'.repeat(20_000)}\r\n\r\n`);
      await raw.saw(/^HTTP\/1\.1 431 .*LINE_TOO_LONG/s);
      await raw.closed;
    });
  });

  it('answers 417 to what it cannot be expected to do, and reads no body', async () => {
    await withServers(async ({ fe, be }) => {
      for (const port of [fe.port, be.port]) {
        const raw = new RawHttp(port);
        raw.write(`POST /data HTTP/1.1\r\n${HOST}Expect: a miracle\r\nContent-Length: 5\r\n\r\n`);
        await raw.saw(/^HTTP\/1\.1 417 .*problem\+json.*Connection: close.*INVALID_FIELD/is);
        await raw.closed;
      }
    });
  });

  it('answers 408 to half a head and to half a body', async () => {
    const quick = { receiveTimeoutMs: 200 };
    await withServers(
      async ({ fe, be }) => {
        const halves = [
          [fe.port, 'GET /data HTTP/1.1\r\nHost: local'],
          [fe.port, `POST /data HTTP/1.1\r\n${HOST}Content-Length: 50\r\n\r\n{"id":`],
          [
            fe.port,
            `PUT /v1/records/a HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhe`,
          ],
          [be.port, 'GET /healthz HTTP/1.1\r\n'],
        ] as const;
        await Promise.all(
          halves.map(async ([port, half]) => {
            const raw = new RawHttp(port);
            raw.write(half);
            await raw.saw(/^HTTP\/1\.1 408 .*Connection: close.*"code":"TIMEOUT"/s);
            await raw.closed;
          }),
        );
      },
      { feServerConfigs: quick, beServerConfigs: quick },
    );
  });

  it('answers what was let in where more is pipelined than the share, then says so and closes', async () => {
    await withServers(
      async ({ fe, be }) => {
        const get = `GET /readyz HTTP/1.1\r\n${HOST}\r\n`;
        const put = `PUT /v1/records/a HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\nx`;
        for (const [port, request, count] of [
          [fe.port, get, 40],
          [be.port, get, 40],
          [fe.port, put, 40],
          [fe.port, get, 20_000],
          [
            fe.port,
            `${get.repeat(9)}PUT /v1/records/b HTTP/1.1\r\n${HOST}Content-Length: 9\r\n\r\n`,
            1,
          ],
        ] as const) {
          const raw = new RawHttp(port);
          raw.write(request.repeat(count));
          await raw.closed;
          const statuses = raw.received.match(/(?<=HTTP\/1\.1 )\d+/g) ?? [];
          assert.equal(statuses.pop(), '503', raw.received.slice(-500));
          assert.ok(statuses.length >= 8 && statuses.length < count + 9, String(statuses.length));
          for (const status of statuses) assert.match(status, /^20[01]$/);
          assert.match(raw.received, /Connection: close[^{]*\{[^{]*"code":"OVERLOADED"[^}]*\}$/i);
          raw.destroy();
        }
        assert.equal((await http(fe.port, 'GET', '/healthz')).status, 200);
      },
      {
        feServerConfigs: { requestsPerConnectionMax: 8 },
        beServerConfigs: { requestsPerConnectionMax: 8 },
      },
    );
  });

  it('gives back the room of pipelined requests whose connection is cut', async () => {
    await withServers(async ({ fe }) => {
      const body = 'x'.repeat(200_000);
      const put = `PUT /v1/records/a HTTP/1.1\r\n${HOST}Content-Length: ${body.length}\r\n\r\n${body}`;
      for (let count = 0; count < 5; count++) {
        const raw = new RawHttp(fe.port);
        raw.write(put.repeat(6));
        await raw.saw(/^HTTP\/1\.1 20/);
        raw.destroy();
      }
      const client = new FeClient({ address: { host: '127.0.0.1', port: fe.port } });
      await until(async () => (await client.info())['bytesInFlight'] === 0);
      client.close();
    });
  });

  it('holds one answer at a time for a client that reads none', async () => {
    await withServers(async ({ fe }) => {
      const body = randomBytes(2_000_000);
      const { key } = (await http(fe.port, 'PUT', '/v1/records/a', { body })).json();
      const raw = new RawHttp(fe.port);
      raw.socket.pause();
      raw.write(`GET /v1/records/a HTTP/1.1\r\n${HOST}Enc-Record-Key: ${key}\r\n\r\n`.repeat(30));
      const client = new FeClient({ address: { host: '127.0.0.1', port: fe.port } });
      const heldBytes = async () => Number((await client.info())['bytesInFlight']);
      await until(async () => (await heldBytes()) > body.length / 2);
      for (let count = 0; count < 20; count++) {
        assert.ok((await heldBytes()) < 4 * body.length);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      raw.destroy();
      client.close();
    });
  });

  it('counts its connections with those of the other dialects', async () => {
    await withServers(
      async ({ fe }) => {
        const first = new RawHttp(fe.port);
        first.write(GET_HEALTH);
        await first.saw(/alive/);
        const second = new RawHttp(fe.port);
        second.write(GET_HEALTH);
        await second.saw(/^HTTP\/1\.1 503 .*OVERLOADED/s);
        first.destroy();
        second.destroy();
      },
      { feServerConfigs: { connectionsMax: 1 } },
    );
  });

  it('reserves bodies under the budget, and gives all of it back', async () => {
    await withServers(
      async ({ fe }) => {
        const record = randomBytes(256 * 1024);
        const put = (n: number) => http(fe.port, 'PUT', `/v1/records/r${n}`, { body: record });
        const all = await Promise.all(Array.from({ length: 12 }, (_none, n) => put(n)));
        assert.deepEqual(new Set(all.map(({ status }) => status)), new Set([201]));
        const { key } = (all[0] as Awaited<ReturnType<typeof put>>).json<{ key: string }>();
        const headers = { 'Enc-Record-Key': key };
        await http(fe.port, 'GET', '/v1/records/r0', { headers });
        // One that waits for its body holds its room until it goes away.
        const half = new RawHttp(fe.port);
        half.write(`PUT /v1/records/h HTTP/1.1\r\n${HOST}Content-Length: 200000\r\n\r\nx`);
        const client = new FeClient({ address: parseAddress(`127.0.0.1:${fe.port}`) });
        const inFlight = async () => Number((await client.info())['bytesInFlight']);
        while ((await inFlight()) < 200_000) await new Promise(setImmediate);
        half.destroy();
        while ((await inFlight()) > 0) await new Promise(setImmediate);
        client.close();
      },
      { feServerConfigs: { recordBytesMax: '256KiB', bytesInFlightMax: '600KiB' } },
    );
  });

  it('finishes what is under way when the server closes, and closes idle connections', async () => {
    const servers = await startServers({ feServerConfigs: { drainTimeoutMs: 30_000 } });
    const idle = new RawHttp(servers.fe.port);
    idle.write(GET_HEALTH);
    await idle.saw(/alive/);
    const busy = new RawHttp(servers.fe.port);
    busy.write(
      `PUT /v1/records/a HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n`,
    );
    await busy.saw(/100 Continue/);
    const closing = servers.fe.close();
    await idle.closed;
    busy.write('hi');
    await busy.saw(/201 Created.*Connection: close/s);
    await busy.closed;
    await closing;
    await servers.stopBe();
    idle.destroy();
    busy.destroy();
  });

  it('leaves text lines alone that look like HTTP', async () => {
    await withServers(async ({ fe }) => {
      const raw = new RawHttp(fe.port);
      raw.write('STORE alice I like HTTP/1.1\n');
      await raw.saw(/^[0-9a-f]{64}\n$/);
      raw.write('DELETE alice\n');
      await raw.saw(/SUCCESS\n$/);
      raw.destroy();
    });
  });
});

describe('probes', () => {
  it('tell of both servers that they live and are ready', async () => {
    await withServers(async ({ fe, be }) => {
      for (const port of [fe.port, be.port]) {
        assert.deepEqual((await http(port, 'GET', '/healthz')).json(), { alive: true });
        const ready = await http(port, 'GET', '/readyz?x');
        assert.equal(ready.status, 200);
        assert.deepEqual(ready.json(), { ready: true, missing: [] });
        const head = await http(port, 'HEAD', '/healthz');
        assert.equal(head.status, 200);
        assert.equal(head.body.length, 0);
        const wrong = await http(port, 'POST', '/healthz');
        assert.equal(wrong.status, 405);
        assert.equal(wrong.headers['allow'], 'GET, HEAD');
        assert.equal((await http(port, 'GET', '/nowhere')).status, 404);
      }
    });
  });

  it('tell what is missing', async () => {
    await withServers(async ({ fe, stopBe }) => {
      await stopBe();
      const ready = await http(fe.port, 'GET', '/readyz');
      assert.equal(ready.status, 503);
      const { missing } = ready.json<{ missing: string[] }>();
      assert.equal(missing.length, 1);
      assert.match(String(missing[0]), /^back end: /);
      assert.equal((await http(fe.port, 'GET', '/healthz')).status, 200);
    });
  });

  it('serve the back end nothing else, whose frames stay what they are', async () => {
    await withServers(async ({ be }) => {
      const answer = await httpJson(be.port, 'POST', '/records', { id: 'ab' });
      assert.equal(answer.status, 404);
      assert.equal(answer.headers['content-type'], 'application/problem+json');
      const client = new BeClient({ address: parseAddress(`127.0.0.1:${be.port}`) });
      await client.ping();
      client.close();
    });
  });
});
