/** What an earlier release has stored is opened by this one: docs/COMPATIBILITY.md. */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { startBe } from '../../lib/be/server.ts';
import type { Config } from '../../lib/config/load.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { startFe } from '../../lib/fe/server.ts';
import { silentLog } from '../../lib/log.ts';
import { metaKey, STORE_FORMAT } from '../../lib/store/meta.ts';
import { openStore } from '../../lib/store/open.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { http } from '../helpers/http.ts';
import { filesUnder } from '../helpers/repository.ts';
import { testConfig } from '../helpers/servers.ts';
import { copyFixture, type FixtureRecord, readFixture } from '../helpers/store-fixture.ts';

const FIXTURES = [
  ...new Set(
    filesUnder('test/fixtures').flatMap(
      (path) => /^test\/fixtures\/(store-\d+)\//.exec(path)?.[1] ?? [],
    ),
  ),
];

async function withCopy(
  name: string,
  work: (folder: string, config: Config) => Promise<void>,
): Promise<void> {
  const folder = await copyFixture(name);
  try {
    await work(folder, await testConfig(folder, { beServerConfigs: { store: 'level' } }));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function withServers(
  config: Config,
  work: (fePort: number, bePort: number) => Promise<void>,
): Promise<void> {
  const be = await startBe(config, silentLog);
  const link = { ...config.beClientConfigs, serverAddr: `127.0.0.1:${be.port}` };
  try {
    const fe = await startFe({ ...config, beClientConfigs: link }, silentLog);
    await work(fe.port, be.port).finally(() => fe.close());
  } finally {
    await be.close();
  }
}

async function checkRecord(client: FeClient, expected: FixtureRecord): Promise<void> {
  const { id, key, text, times, expiryMs, contentType, once = false, ...name } = expected;
  const found = await client.retrieve(id, Buffer.from(key, 'hex'), name);
  assert.equal(found.record.toString(), text.repeat(times), id);
  assert.deepEqual([found.expiryMs, found.contentType, found.once], [expiryMs, contentType, once]);
  if (once) await rejectsWith(client.retrieve(id, Buffer.from(key, 'hex')), 'ALREADY_READ');
}

describe('a store of an earlier release', () => {
  it('is there for each format', () => {
    const formats = Array.from({ length: STORE_FORMAT }, (_none, index) => `store-${index + 1}`);
    assert.deepEqual(FIXTURES, formats);
  });

  for (const name of FIXTURES) {
    const fixture = readFixture(name);

    it(`is opened with every record in it: ${name}`, async () => {
      assert.ok(fixture.records.length >= 16);
      await withCopy(name, async (_folder, config) => {
        await withServers(config, async (fePort, bePort) => {
          const fe = new FeClient({ address: { host: '127.0.0.1', port: fePort } });
          for (const expected of fixture.records) await checkRecord(fe, expected);
          fe.close();
          for (const { id, data } of fixture.items) {
            const answer = await http(fePort, 'GET', `/data/${id}`);
            assert.equal(answer.json()['data'], data);
          }
          const be = new BeClient({ address: { host: '127.0.0.1', port: bePort } });
          for (const { token, record } of fixture.foreign) {
            assert.equal((await be.retrieve(token)).toString(), record);
          }
          be.close();
        });
      });
    });
  }
});

describe('what a newer release has made', () => {
  it('is a store: it is refused in words, and left as it is', async () => {
    await withCopy('store-1', async (folder, config) => {
      const options = { kind: 'level', folder: join(folder, 'be') } as const;
      const store = await openStore(options);
      const head = Buffer.alloc(4);
      head.writeUInt32BE(STORE_FORMAT + 1);
      await store.put(metaKey('format'), { head, body: Buffer.alloc(0), expiryMs: 0 });
      await store.close();
      // Twice: the refusal gives the folder back.
      for (let start = 0; start < 2; start++) {
        await assert.rejects(startBe(config, silentLog), {
          code: 'BAD_CONFIG',
          message: `the store has format ${STORE_FORMAT + 1}, and this release knows ${STORE_FORMAT}`,
          hint: 'start the newer release that made this store, or choose another folder',
        });
      }
    });
  });

  it('is a keyring: it is refused in words, and left as it is', async () => {
    await withCopy('store-1', async (folder, config) => {
      const path = join(folder, 'fe/keyring.json');
      const newer = (await readFile(path, 'utf8')).replace('"version": 1', '"version": 2');
      await writeFile(path, newer);
      await assert.rejects(
        withServers(config, async () => undefined),
        {
          code: 'KEYRING_DAMAGED',
          message: 'the keyring was written by a newer release',
        },
      );
      assert.equal(await readFile(path, 'utf8'), newer);
    });
  });
});
