import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startFe } from '../../lib/fe/server.ts';
import { silentLog } from '../../lib/log.ts';
import { http, httpJson } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

async function withServers(run: (servers: TestServers) => Promise<void>): Promise<void> {
  // How long many take to find a free ID is up to the machine.
  const servers = await startServers({
    feServerConfigs: { requestTimeoutMs: 60_000 },
    beClientConfigs: { timeoutMs: 60_000 },
  });
  try {
    await run(servers);
  } finally {
    await servers.close();
  }
}

/** Another front end on the same keyring and back end. */
function anotherFe({ config, be }: TestServers) {
  const link = { ...config.beClientConfigs, serverAddr: `127.0.0.1:${be.port}` };
  return startFe({ ...config, beClientConfigs: link }, silentLog);
}

async function create(port: number, id: number, data: string): Promise<number> {
  const answer = await httpJson(port, 'POST', '/data', { id, data });
  assert.equal(answer.status, 200, answer.body.toString());
  return answer.json<{ id: number }>().id;
}

async function list(port: number): Promise<number[]> {
  return (await http(port, 'GET', '/data')).json<number[]>();
}

const numbers = (count: number) => Array.from({ length: count }, (_none, index) => index);

describe('items of many clients', () => {
  it('get distinct IDs without a gap when all post the same', async () => {
    await withServers(async ({ fe }) => {
      const ids = await Promise.all(numbers(100).map((n) => create(fe.port, 7, `item ${n}`)));
      assert.deepEqual(
        ids.toSorted((a, b) => a - b),
        numbers(100).map((n) => 7 + n),
      );
      for (const [n, id] of ids.entries()) {
        const found = (await http(fe.port, 'GET', `/data/${id}`)).json();
        assert.deepEqual(found, { id, data: `item ${n}` });
      }
    });
  });

  it('are never overwritten by those of another front end', async () => {
    await withServers(async (servers) => {
      const other = await anotherFe(servers);
      try {
        const ports = [servers.fe.port, other.port];
        const port = (n: number) => ports[n % 2] as number;
        const same = numbers(60).map((n) => create(port(n), 1, `same ${n}`));
        const own = numbers(60).map((n) => create(port(n), 30 + n, `own ${n}`));
        const ids = await Promise.all([...same, ...own]);
        assert.equal(new Set(ids).size, 120);
        assert.deepEqual(
          await list(servers.fe.port),
          ids.toSorted((a, b) => a - b),
        );
      } finally {
        await other.close();
      }
    });
  });

  it('go on after the highest of another front end', async () => {
    await withServers(async (servers) => {
      const other = await anotherFe(servers);
      try {
        await create(servers.fe.port, 1, 'first');
        assert.equal(await create(other.port, 1, 'second'), 2);
        assert.equal(await create(servers.fe.port, 500, 'far'), 500);
        assert.equal(await create(other.port, 1, 'after it'), 501);
        assert.equal(await create(servers.fe.port, 1, 'and after that'), 502);
      } finally {
        await other.close();
      }
    });
  });

  it('go on after the highest when the front end is a new one', async () => {
    await withServers(async (servers) => {
      for (const id of [1, 2, 3, 40]) await create(servers.fe.port, id, 'x');
      await servers.fe.close();
      const next = await anotherFe(servers);
      try {
        assert.equal(await create(next.port, 1, 'y'), 41);
        assert.deepEqual(await list(next.port), [1, 2, 3, 40, 41]);
      } finally {
        await next.close();
      }
    });
  });

  it('are refused with 409 when no higher ID is left', async () => {
    await withServers(async ({ fe }) => {
      await create(fe.port, Number.MAX_SAFE_INTEGER, 'last');
      const full = await httpJson(fe.port, 'POST', '/data', {
        id: Number.MAX_SAFE_INTEGER,
        data: 'x',
      });
      assert.equal(full.status, 409);
      // Whoever meets that later must be able to tell why.
      await create(fe.port, 5, 'x');
      const lower = await httpJson(fe.port, 'POST', '/data', { id: 5, data: 'y' });
      assert.equal(lower.status, 409);
      assert.match(String(lower.json()['detail']), /had, an ID at the upper end, 9007199254740991/);
      assert.equal(await create(fe.port, 6, 'there is room below'), 6);
    });
  });

  it('are listed in ascending order also when they are many', async () => {
    await withServers(async ({ fe }) => {
      const ids = numbers(1_200).map((n) => (n * 7919) % 100_003);
      for (let at = 0; at < ids.length; at += 100) {
        await Promise.all(ids.slice(at, at + 100).map((id) => create(fe.port, id, 'x')));
      }
      const sorted = ids.toSorted((a, b) => a - b);
      assert.deepEqual(await list(fe.port), sorted);
      const page = await http(fe.port, 'GET', `/data?after=${sorted[9]}&limit=3`);
      assert.deepEqual(page.json(), sorted.slice(10, 13));
    });
  });
});
