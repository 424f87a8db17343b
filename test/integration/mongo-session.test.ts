/** `enc-server up --store mongo` does what it does over a folder. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { BSON } from 'mongodb';
import { NO_MONGO, openTestMongo, type TestMongo, withClient } from '../helpers/mongo-server.ts';
import { Running, type RunningUp, run, startUp } from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

const DATABASE = 'ENC_SERVER_TS_BESERVERCONFIGS_MONGODATABASE';
const URI = 'ENC_SERVER_TS_BESERVERCONFIGS_MONGOURI';

if (NO_MONGO === undefined) suite();
else it('mongo, session', { skip: NO_MONGO }, () => {});

/** Raw, hexadecimal in both cases, and base64 at each of the three places in a group of bytes. */
function has(haystack: Buffer, needle: Buffer): boolean {
  const hex = needle.toString('hex');
  const forms = [needle, Buffer.from(hex), Buffer.from(hex.toUpperCase())];
  for (let start = 0; start < 3; start++) {
    const length = needle.length - start;
    const whole = needle.subarray(start, start + length - (length % 3));
    forms.push(Buffer.from(whole.toString('base64')));
  }
  return forms.some((form) => haystack.includes(form));
}

function suite(): void {
  describe('a session on MongoDB', () => {
    let mongo: TestMongo;
    let folder: string;
    let database: string;
    let up: RunningUp;
    const start = () =>
      startUp(join(folder, 'data'), ['--store', 'mongo', '--mongo-uri', mongo.uri], {
        env: { [DATABASE]: database },
      });
    const fe = (args: readonly string[], options = {}) =>
      run('fe-client', [...args, ...up.toFe], options);
    const be = (args: readonly string[]) => run('be-client', [...args, ...up.toBe]);

    before(async () => {
      mongo = await openTestMongo();
      folder = await temporaryFolder();
      database = mongo.database();
      up = await start();
    });
    after(async () => {
      await up.killAll();
      await mongo.close();
      await rm(folder, { recursive: true });
    });

    it('stores, retrieves, and tells what is wrong', async () => {
      assert.match(up.stdout, /be listening on \S+ \(mongo, mongodb:\/\/\S+, about \d+ records\)/);
      const stored = await fe(['store', '--id', 'alice', '--record', 'hello']);
      assert.equal(stored.code, 0, stored.stderr);
      assert.match(stored.stdout.toString(), /^[0-9a-f]{64}\n$/);
      const key = stored.stdout.toString().trim();
      const found = await fe(['retrieve', '--id', 'alice', '--key', key]);
      assert.deepEqual([found.code, found.stdout.toString()], [0, 'hello']);
      const wrong = key.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
      assert.equal((await fe(['retrieve', '--id', 'alice', '--key', wrong])).code, 4);
      assert.equal((await fe(['retrieve', '--id', 'nobody', '--key', key])).code, 3);
      assert.equal((await fe(['delete', '--id', 'alice', '--key', key])).code, 0);
      assert.equal((await fe(['retrieve', '--id', 'alice', '--key', key])).code, 3);
    });

    it('tries itself over both servers', async () => {
      for (const client of [fe, be]) {
        const { code, stdout, stderr } = await client([]);
        assert.equal(code, 0, stderr);
        assert.match(stdout.toString(), /they are the same/);
      }
    });

    it('has every record after an end in order, and after kill -9 of everything', async () => {
      const ends = [() => up.stop('SIGTERM'), () => up.killAll()];
      for (const [index, end] of ends.entries()) {
        const id = `kept-${index}`;
        const key = (await fe(['store', '--id', id, '--record', id])).stdout.toString().trim();
        await end();
        up = await start();
        const found = await fe(['retrieve', '--id', id, '--key', key]);
        assert.deepEqual([found.code, found.stdout.toString()], [0, id], found.stderr);
      }
    });

    it('carries 5 MiB of bytes', async () => {
      const bytes = randomBytes(5 * 1024 * 1024);
      const [source, target] = [join(folder, 'in.bin'), join(folder, 'out.bin')];
      const key = join(folder, 'big.key');
      await writeFile(source, bytes);
      const store = ['store', '--id', 'big', '--file', source, '--key-out', key];
      assert.equal((await fe(store)).code, 0);
      const retrieve = ['retrieve', '--id', 'big', '--key-file', key, '--out', target];
      assert.equal((await fe(retrieve)).code, 0);
      assert.ok((await readFile(target)).equals(bytes));
    });

    it('shows the database neither record, nor key, nor user ID', async () => {
      const [id, record] = ['mallory-the-searched', 'the record that is searched for'];
      const key = (await fe(['store', '--id', id, '--record', record])).stdout.toString().trim();
      const control = 'stored by the back end, unsealed';
      assert.equal((await be(['store', '--id', 'control', '--record', control])).code, 0);
      const stored = await withClient(mongo.uri, async (client) => {
        const parts: Uint8Array[] = [];
        for (const { collectionName } of await client.db(database).collections()) {
          const documents = client.db(database).collection(collectionName).find();
          for await (const document of documents) parts.push(BSON.serialize(document));
        }
        return Buffer.concat(parts);
      });
      assert.ok(has(stored, Buffer.from(control)), 'the search finds what is there');
      for (const secret of [Buffer.from(id), Buffer.from(record), Buffer.from(key, 'hex')]) {
        assert.ok(!has(stored, secret), 'something readable lies in the database');
      }
    });

    it('takes the connection string from a file', async () => {
      const file = join(folder, 'mongo.uri');
      await writeFile(file, `${mongo.uri}\n`);
      const env = { [`${URI}_FILE`]: file, [DATABASE]: mongo.database() };
      const server = new Running('be-server', ['--port', '0', '--data-dir', folder], { env });
      try {
        const [, port] = await server.saw(/be listening on \S+:(\d+) \(mongo, .*about \d+ records/);
        const toIt = ['--server', `127.0.0.1:${port}`];
        assert.equal((await run('be-client', toIt)).code, 0);
      } finally {
        await server.killAll();
      }
    });

    it('never shows the password, whether MongoDB is there, away, or misspelt', async () => {
      const password = 'Planted/Pass:word@1';
      const written = encodeURIComponent(password);
      const hosts = mongo.uri.replace(/^mongodb:\/\/(?:[^@/]*@)?/, '').replace(/[/?].*/, '');
      const strings = [
        `mongodb://planted:${written}@${hosts}/?authSource=admin`,
        `mongodb://planted:${written}@127.0.0.1:1/`,
        `mongodb://planted:${password}@127.0.0.1:1/`,
        `mongodb://planted:${written}@127.0.0.1:99999/`,
        `mongodb://planted:${written}@127.0.0.1:1/?nosuch=${written}`,
      ];
      for (const [index, uri] of strings.entries()) {
        const dir = join(folder, `logs-${index}`);
        const file = join(folder, `planted-${index}`);
        await writeFile(file, uri);
        const env = { [`${URI}_FILE`]: file, ENC_SERVER_TS_LOG_DIR: dir };
        const server = new Running('be-server', ['--port', '0', '--data-dir', folder], { env });
        await Promise.race([server.saw(/be listening on .*\n/).catch(() => {}), server.exited]);
        await server.stop();
        let said = `${server.stdout}${server.stderr}`;
        for (const name of await readdir(dir)) said += await readFile(join(dir, name), 'utf8');
        await server.killAll();
        assert.match(said, index < 2 ? /127\.0\.0\.1|localhost|MongoDB/ : /mongo/i);
        for (const secret of [password, written, 'Pass:word', 'Planted']) {
          assert.ok(!has(Buffer.from(said), Buffer.from(secret)), `${index}: ${said.length} bytes`);
        }
      }
    });
  });
}
