/** kill -9 of everything under load: what was answered stands in the audit logs. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseLine } from '../../lib/audit/chain.ts';
import { initAudit, readAuditKey } from '../../lib/audit/key-files.ts';
import { filesOf } from '../../lib/audit/log-files.ts';
import { pseudonymOf } from '../../lib/audit/names.ts';
import { encodeName, nameBytes } from '../../lib/crypto/record-name.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { type AuditFiles, auditFilesIn } from '../helpers/audit.ts';
import { run, startUp, until } from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

const ROUNDS = 3;
const CALLERS = 16;
/** From the first answer until all is killed, in milliseconds. */
const LOAD_MS_MAX = 500;

/** Stores until it fails, which it does when the server is gone. */
async function storeOn(client: FeClient, name: string, done: string[]): Promise<void> {
  for (let number = 0; ; number++) {
    const id = `${name}-${number}`;
    try {
      await client.store(id, Buffer.from(id));
      done.push(id);
    } catch {
      return;
    }
  }
}

/** The records that the log says were stored. */
async function storedIn({ path }: AuditFiles): Promise<Set<unknown>> {
  const stored = new Set<unknown>();
  for (const file of await filesOf(path)) {
    for (const line of (await readFile(file.path, 'utf8')).split('\n')) {
      const { op, outcome, record } = parseLine(Buffer.from(line))?.fields ?? {};
      if (op === 'store' && outcome === 'ok') stored.add(record);
    }
  }
  return stored;
}

async function nameIn(files: AuditFiles): Promise<(id: string) => string> {
  const { nameKey } = await readAuditKey(files.keyFile);
  return (id) => {
    const name = { namespace: Buffer.alloc(0), id: Buffer.from(id) };
    const bytes = Buffer.alloc(nameBytes(name));
    encodeName(bytes, 0, name);
    return pseudonymOf(nameKey, bytes);
  };
}

describe('audit logs, and kill -9 of everything under load', () => {
  it('every operation that was answered has its line, and the chains go on', async (t) => {
    const folder = await temporaryFolder();
    const logs = { fe: auditFilesIn(join(folder, 'a')), be: auditFilesIn(join(folder, 'b')) };
    for (const files of Object.values(logs)) {
      await mkdir(files.folder);
      await initAudit(files);
    }
    const auditOf = ({ path, keyFile }: AuditFiles) => ({
      auditLog: path,
      auditKeyFile: keyFile,
      auditFailure: 'closed',
      auditFileBytesMax: '200KiB',
    });
    const config = join(folder, 'config.json');
    const sections = { feServerConfigs: auditOf(logs.fe), beServerConfigs: auditOf(logs.be) };
    await writeFile(config, JSON.stringify(sections));
    const done: string[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      const up = await startUp(join(folder, 'data'), ['--config', config]);
      const address = { host: '127.0.0.1', port: up.fePort };
      const client = new FeClient({ address, connections: 2, attemptsMax: 1 });
      const before = done.length;
      const callers = Array.from({ length: CALLERS }, (_, caller) =>
        storeOn(client, `${round}-${caller}`, done),
      );
      await until('an answer', () => done.length > before || undefined);
      await delay(randomInt(LOAD_MS_MAX));
      await up.killAll();
      await Promise.all(callers);
      client.close();
    }
    // A start after the last kill marks what it tore.
    const up = await startUp(join(folder, 'data'), ['--config', config]);
    await up.stop();
    await up.killAll();
    const stored = await storedIn(logs.fe);
    const nameOf = await nameIn(logs.fe);
    for (const id of done) assert.ok(stored.has(nameOf(id)), id);
    for (const files of Object.values(logs)) {
      const args = ['--log', files.path, '--key', files.verificationKeyFile];
      const more = ['--checkpoint', files.checkpoints, '--state', files.stateFile];
      const { code, stdout } = await run('enc-server', ['audit', 'verify', ...args, ...more]);
      assert.equal(code, 0, stdout.toString());
      t.diagnostic(stdout.toString().replace(/head \w+/, ''));
    }
    t.diagnostic(`${done.length} answered, ${stored.size} in the log`);
    await rm(folder, { recursive: true });
  });
});
