/** What keeps a server from starting: one clear error, the right exit code, nothing damaged. */
import assert from 'node:assert/strict';
import { chmod, copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Finished, Running, type RunningUp, run, startUp } from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

/** Code, words and exit code of a start that must fail. */
function assertRefused(done: Finished, exit: number, code: string, words: RegExp): void {
  assert.equal(done.code, exit, done.stderr);
  assert.match(done.stderr, new RegExp(`: ${code} .*\\n {2}hint: `));
  assert.match(done.stderr, words);
  assert.ok(!done.stderr.includes('    at '), 'a mistake of a person shows no stack');
}

describe('a configuration file', () => {
  let folder: string;
  before(async () => {
    folder = await temporaryFolder();
  });
  after(async () => {
    await rm(folder, { recursive: true });
  });
  const upWith = async (name: string, text?: string) => {
    const file = join(folder, name);
    if (text !== undefined) await writeFile(file, text);
    return await run('enc-server', ['up', '--data-dir', folder, '--config', file]);
  };

  it('that is missing is an error that names it', async () => {
    assertRefused(await upWith('none.json'), 2, 'BAD_CONFIG', /none\.json: there is no such file/);
  });

  it('that cannot be read is an error', async () => {
    await mkdir(join(folder, 'folder.json'));
    assertRefused(await upWith('folder.json'), 2, 'BAD_CONFIG', /it is a folder/);
  });

  it('that cannot be parsed is an error with its place', async () => {
    const text = '{"feServerConfigs": {"port": 1';
    assertRefused(await upWith('cut.json', text), 2, 'BAD_CONFIG', /cut\.json:1:\d+: /);
  });

  it('with an unknown key is an error that names the nearest', async () => {
    const text = 'feServerConfigs: {prot: 1}';
    assertRefused(
      await upWith('key.yaml', text),
      2,
      'BAD_CONFIG',
      /prot in feServerConfigs.*\bport\b/s,
    );
  });

  it('with a wrong type is an error that names the place, never the value', async () => {
    const done = await upWith('type.yaml', 'beServerConfigs: {port: s3cret}');
    assertRefused(done, 2, 'BAD_CONFIG', /type\.yaml.*beServerConfigs.*port.*whole number/);
    assert.ok(!done.stderr.includes('s3cret'));
  });

  it('is an error of every program', async () => {
    const config = ['--config', join(folder, 'none.json')];
    for (const program of ['fe-client', 'be-client', 'fe-server', 'be-server'] as const) {
      assertRefused(await run(program, config), 2, 'BAD_CONFIG', /no such file/);
    }
  });

  it('of the family warns, and works', async () => {
    const file = join(folder, 'family.json');
    await writeFile(file, '{"feServerConfigs": {"port": "0", "useExtIP": false,},}');
    const options = { env: { ENC_SERVER_TS_STROE: '1' } };
    const running = await startUp(folder, ['--config', file, '--store', 'memory'], options);
    await running.stop();
    assert.match(running.stderr, /useExtIP/);
    assert.match(running.stderr, /ENC_SERVER_TS_STROE/);
  });
});

describe('a start beside another server', () => {
  let folder: string;
  let up: RunningUp;
  before(async () => {
    folder = await temporaryFolder();
    up = await startUp(folder);
  });
  after(async () => {
    await up.killAll();
    await rm(folder, { recursive: true });
  });

  it('on its folder is refused, and does not harm it', async () => {
    const ports = ['--fe-port', '0', '--be-port', '0'];
    const second = await run('enc-server', ['up', '--data-dir', folder, ...ports]);
    assertRefused(second, 7, 'FOLDER_LOCKED', /--data-dir/);
    const alone = await run('be-server', ['--data-dir', folder, '--port', '0']);
    assertRefused(alone, 7, 'FOLDER_LOCKED', /another server/);
    assert.equal((await run('fe-client', up.toFe)).code, 0);
  });

  it('on its ports is refused by the flag that changes them', async () => {
    const other = join(folder, 'other');
    const args = ['up', '--store', 'memory', '--data-dir', other];
    const be = await run('enc-server', [...args, '--be-port', `${up.bePort}`, '--fe-port', '0']);
    assertRefused(be, 5, 'PORT_TAKEN', /--be-port/);
    const fe = await run('enc-server', [...args, '--be-port', '0', '--fe-port', `${up.fePort}`]);
    assertRefused(fe, 5, 'PORT_TAKEN', /--fe-port/);
    const workers = ['--workers', '2', '--be-port', '0', '--fe-port', `${up.fePort}`];
    assertRefused(await run('enc-server', [...args, ...workers]), 5, 'PORT_TAKEN', /--fe-port/);
  });

  it('whose back end speaks another dialect than its front end is refused', async () => {
    const env = { ENC_SERVER_TS_BECLIENTCONFIGS_DIALECT: 'python' };
    // A port that is taken: so it ends in any case.
    const args = ['up', '--data-dir', join(folder, 'mixed'), '--be-port', `${up.bePort}`];
    const done = await run('enc-server', args, { env });
    assertRefused(done, 2, 'BAD_CONFIG', /start fe-server alone/);
  });

  it('that is served by several workers is refused as that of one is', async () => {
    const to = ['--be', `localhost:${up.bePort}`, '--port', '0', '--workers', '3'];
    const foreign = await run('fe-server', [...to, '--data-dir', join(folder, 'none')]);
    assertRefused(foreign, 7, 'KEYRING_MISSING', /keyring\.json is missing/);
    const beyond = ['--data-dir', folder, '--host', '0.0.0.0'];
    assertRefused(await run('fe-server', [...to, ...beyond]), 6, 'NOT_ALLOWED', /--allow-open/);
    const audited = {
      ENC_SERVER_TS_FESERVERCONFIGS_AUDITLOG: join(folder, 'audit.log'),
      ENC_SERVER_TS_FESERVERCONFIGS_AUDITKEYFILE: join(folder, 'audit.key'),
      ENC_SERVER_TS_FESERVERCONFIGS_AUDITFAILURE: 'closed',
    };
    const two = await run('fe-server', [...to, '--data-dir', folder], { env: audited });
    assertRefused(two, 2, 'BAD_CONFIG', /one writer[\s\S]*set workers to 1/);
  });

  it('on a port that is taken on IPv6 alone is refused, too', async (t) => {
    const taker = createServer();
    const isThere = await new Promise<boolean>((resolve) => {
      taker.once('error', () => resolve(false));
      taker.listen(0, '::1', () => resolve(true));
    });
    if (!isThere) {
      t.skip('this machine has no IPv6');
      return;
    }
    const port = `${(taker.address() as AddressInfo).port}`;
    const done = await run('be-server', ['--store', 'memory', '--port', port]);
    assertRefused(done, 5, 'PORT_TAKEN', /::1/);
    taker.close();
  });
});

describe('a keyring', () => {
  let folder: string;
  let file: string;
  let backup: string;
  before(async () => {
    folder = await temporaryFolder();
    file = join(folder, 'fe', 'keyring.json');
    backup = join(folder, 'backup.json');
    const up = await startUp(folder);
    await up.stop();
    await copyFile(file, backup);
  });
  after(async () => {
    await rm(folder, { recursive: true });
  });
  const restore = async () => {
    await copyFile(backup, file);
    await chmod(file, 0o600);
  };
  const start = () =>
    run('enc-server', ['up', '--data-dir', folder, '--fe-port', '0', '--be-port', '0']);

  it('that others can read is refused', async () => {
    await chmod(file, 0o644);
    assertRefused(await start(), 6, 'KEYRING_UNSAFE', /chmod 600/);
    await restore();
  });

  it('that is truncated is refused, without a word of it', async () => {
    const text = await readFile(backup, 'utf8');
    await writeFile(file, text.slice(0, text.length / 2));
    const done = await start();
    assertRefused(done, 2, 'KEYRING_DAMAGED', /backup/);
    const secret = /"secret": "([0-9a-f]{64})"/.exec(text)?.[1] as string;
    assert.ok(!done.stderr.includes(secret.slice(0, 16)));
    await restore();
  });

  it('that is missing over a filled store is not made anew', async () => {
    await rename(file, `${file}.away`);
    assertRefused(await start(), 7, 'KEYRING_MISSING', /backup/);
    await assert.rejects(readFile(file), { code: 'ENOENT' });
    await restore();
  });

  it('of another store is refused', async () => {
    const other = await startUp(join(folder, 'other'));
    await other.stop();
    await copyFile(join(folder, 'other', 'fe', 'keyring.json'), file);
    assertRefused(await start(), 7, 'KEYRING_MISMATCH', /another keyring/);
    await restore();
  });

  it('that is put back is taken again, and after all that nothing is lost', async () => {
    const up = await startUp(folder);
    assert.equal((await run('fe-client', up.toFe)).code, 0);
    assert.equal(await up.stop(), 0);
  });
});

describe('a host beyond loopback', () => {
  it('is refused by the name of the setting', async () => {
    for (const [program, ...rest] of [
      ['enc-server', 'up'],
      ['be-server'],
      ['fe-server'],
    ] as const) {
      const done = await run(program, [...rest, '--host', '0.0.0.0', '--data-dir', '/nonexistent']);
      assertRefused(done, 6, 'NOT_ALLOWED', /--allow-open.*ENC_SERVER_TS_ALLOW_OPEN/);
    }
  });

  it('is taken when it is meant', async () => {
    const folder = await temporaryFolder();
    const open = ['--host', '0.0.0.0', '--store', 'memory'];
    const up = await startUp(folder, [...open, '--allow-open']);
    assert.match(up.stdout, /^be listening on 0\.0\.0\.0:\d+ \(memory/);
    assert.match(up.stdout, new RegExp(`--server localhost:${up.fePort}\n`));
    assert.equal((await run('fe-client', up.toFe)).code, 0);
    assert.equal(await up.stop(), 0);
    const env = { ENC_SERVER_TS_ALLOW_OPEN: '1' };
    const again = await startUp(folder, open, { env });
    assert.equal(await again.stop(), 0);
    await rm(folder, { recursive: true });
  });
});

describe('a log folder that cannot be used', () => {
  it('is a warning, and the servers run', async () => {
    const folder = await temporaryFolder();
    const file = join(folder, 'file');
    await writeFile(file, '');
    const options = { env: { ENC_SERVER_TS_LOG_DIR: join(file, 'logs') } };
    const up = await startUp(folder, ['--store', 'memory'], options);
    assert.match(up.stdout, /\nlogs: \(no files\)\n$/);
    assert.equal(await up.stop(), 0);
    assert.match(up.stderr, /^be-server: no log file in .*ENC_SERVER_TS_LOG_DIR/m);
    assert.match(up.stderr, /^fe-server: no log file in /m);

    const alone = new Running(
      'be-server',
      ['--store', 'memory', '--port', '0', '--data-dir', folder],
      options,
    );
    await alone.saw(/be listening/);
    assert.equal(await alone.stop(), 0);
    assert.match(alone.stdout, /"level":"warn".*no log file/);
    await rm(folder, { recursive: true });
  });
});
