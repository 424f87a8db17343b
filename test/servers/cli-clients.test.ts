/** `fe-client` and `be-client` against servers in this process, and against none. */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { encodeReply } from '../../lib/protocol/frame.ts';
import { findCommand, pathOf, type RunOptions, run, runCommand } from '../helpers/programs.ts';
import { startServers, type TestServers, temporaryFolder } from '../helpers/servers.ts';

const KEY_LINE = /^[0-9a-f]{64}\n$/;

describe('the client programs', () => {
  let servers: TestServers;
  before(async () => {
    servers = await startServers();
  });
  after(async () => {
    await servers.close();
  });
  const toFe = () => ['--server', `localhost:${servers.fe.port}`];
  const fe = (args: readonly string[], options: RunOptions = {}) =>
    run('fe-client', [...args, ...toFe()], options);
  const be = (args: readonly string[], options: RunOptions = {}) =>
    run('be-client', [...args, '--server', `:${servers.be.port}`], options);

  it('store from standard input, and retrieve with a key from it', async () => {
    const stored = await fe(['store', '--id', 'a'], { input: 'hello\n' });
    assert.match(stored.stdout.toString(), KEY_LINE);
    const found = await fe(['retrieve', '--id', 'a', '--key', '-'], { input: stored.stdout });
    assert.deepEqual([found.code, found.stdout.toString()], [0, 'hello\n']);
  });

  it('take what follows a flag as its value, whatever it looks like', async () => {
    const args = [...toFe(), 'store', '--id', '--json', '--record', '-V'];
    const stored = await run('fe-client', args);
    assert.match(stored.stdout.toString(), KEY_LINE);
    const key = stored.stdout.toString().trim();
    const found = await fe(['retrieve', '--id=--json', '--key', key]);
    assert.equal(found.stdout.toString(), '-V');
  });

  it('let a flag of the command win over the same of the program', async () => {
    const args = ['--server', 'localhost:1', 'delete', '--id', 'nothing', ...toFe()];
    assert.equal((await run('fe-client', args)).code, 0);
  });

  it('warn of settings that mean nothing, on standard error alone', async () => {
    const env = { ENC_SERVER_TS_KYE: 'x' };
    const { code, stdout, stderr } = await fe(['delete', '--id', 'nothing'], { env });
    assert.deepEqual([code, stdout.toString()], [0, 'SUCCESS\n']);
    assert.match(stderr, /^fe-client: ENC_SERVER_TS_KYE .*ENC_SERVER_TS_KEY\n$/);
  });

  it('are not stopped by settings that only others use', async () => {
    const env = {
      ENC_SERVER_TS_FESERVERCONFIGS_KEYRINGTRANSITTOKEN: 'hush',
      ENC_SERVER_TS_BESERVERCONFIGS_AUDITLOG: '/none',
      ENC_SERVER_TS_LOG_LEVEL: 'loud',
    };
    for (const client of [fe, be]) {
      const { code, stderr } = await client(['delete', '--id', 'nothing'], { env });
      assert.deepEqual([code, stderr], [0, '']);
    }
  });

  it('try themselves', async () => {
    assert.equal((await fe([])).code, 0);
    assert.equal((await be(['--json'])).stdout.toString().trim().split('\n').length, 4);
    assert.equal((await be(['store', '--id', 'trial', '--record', 'x', '--json'])).code, 0);
    assert.equal((await be([])).code, 7);
    const found = await be(['retrieve', '--id', 'trial', '--json']);
    assert.equal(JSON.parse(found.stdout.toString()).bytes, 1);
    assert.equal((await be(['delete', '--id', 'trial', '--must-exist'])).code, 0);
    assert.equal((await be(['delete', '--id', 'trial', '--must-exist'])).code, 3);
  });

  it('leave unread what can be read once where there is no place to write it', async () => {
    const path = join(servers.folder, 'once.key');
    await fe(['store', '--id', 'once', '--record', 'for one', '--once', '--key-out', path]);
    const retrieve = (out: string, key = path) =>
      fe(['retrieve', '--id', 'once', '--key-file', key, '--out', out]);
    for (const out of [join(servers.folder, 'no/where'), servers.folder]) {
      const nowhere = await retrieve(out);
      assert.equal(nowhere.code, 2);
      assert.match(nowhere.stderr, /FILE_ERROR/);
    }
    // A file that was made to see whether it can be is none of the user's.
    const other = join(servers.folder, 'other.key');
    await fe(['store', '--id', 'other', '--record', 'x', '--key-out', other]);
    const unread = join(servers.folder, 'unread');
    assert.equal((await retrieve(unread, other)).code, 4);
    await assert.rejects(readFile(unread), { code: 'ENOENT' });
    assert.equal((await retrieve(unread)).code, 0);
    assert.equal(await readFile(unread, 'utf8'), 'for one');
  });

  it('show what could be read once where its file takes it not', async () => {
    const key = join(servers.folder, 'full.key');
    const store = ['store', '--id', 'full', '--record', 'for one', '--once', '--key-out'];
    for (const json of [false, true]) {
      await rm(key, { force: true });
      await fe([...store, key]);
      const args = ['retrieve', '--id', 'full', '--key-file', key, '--out', '/dev/full'];
      const { code, stdout, stderr } = await fe([...args, ...(json ? ['--json'] : [])]);
      assert.equal(code, 2);
      assert.match(stderr, /could be read this once[\s\S]*FILE_ERROR/);
      const shown = json ? JSON.parse(stdout.toString()).record64 : stdout.toString();
      assert.equal(shown, json ? Buffer.from('for one').toString('base64') : 'for one');
    }
  });

  it('say nothing of a key, and leave none, where nothing was sent', async () => {
    const path = join(servers.folder, 'unsent.key');
    for (const out of [[], ['--key-out', path]]) {
      const args = ['store', '--id', 'unsent', '--record', 'x', '--tls-ca', '/nope', ...out];
      const { code, stderr } = await fe(args);
      assert.equal(code, 2);
      assert.doesNotMatch(stderr, /stored|lost/);
    }
    await assert.rejects(readFile(path), { code: 'ENOENT' });
    const far = await fe(['store', '--id', 'far', '--record', 'x', '--ttl', '99999999d']);
    assert.equal(far.code, 2);
    assert.match(far.stderr, /USAGE --ttl is too long/);
  });

  it('import no line that is no text, in whatever way', async () => {
    const path = join(servers.folder, 'bytes.jsonl');
    const lines = [
      '{"id":"u\xfe","record":"a"}',
      '{"id":"u","record":"\\ud800"}',
      '{"id":"v","record":"b"}',
    ];
    await writeFile(path, Buffer.from(`${lines.join('\n')}\n`, 'latin1'));
    const { code, stderr, stdout } = await fe(['import', path, '--keys-out', `${path}.keys`]);
    assert.match(stderr, /line 1: INVALID_RECORD the line is no UTF-8\nline 2: INVALID_RECORD/);
    assert.match(stdout.toString(), /stored 1 records, 2 failed/);
    assert.notEqual(code, 0);
  });

  it('remove the key file when nothing was stored', async () => {
    const path = join(servers.folder, 'conflict.key');
    await fe(['store', '--id', 'taken', '--record', 'x']);
    const store = ['store', '--id', 'taken', '--record', 'y', '--if-absent', '--key-out', path];
    assert.equal((await fe(store)).code, 7);
    await assert.rejects(readFile(path), { code: 'ENOENT' });
  });

  it('do not lose a key in silence', async () => {
    const path = pathOf('fe-client');
    for (const flags of ['', '--json']) {
      const script = `exec "$0" ${path} store --id lost --record x ${toFe().join(' ')} ${flags}`;
      const full = await runCommand('sh', ['-c', `${script} > /dev/full`, process.execPath]);
      assert.equal(full.code, 2);
      assert.match(full.stderr, /^fe-client: the record is stored, its key lost/);
    }
  });

  it('end quietly when the reader of a record has enough', async () => {
    const record = Buffer.alloc(1_000_000, 'y');
    const key = (await fe(['store', '--id', 'long'], { input: record })).stdout.toString().trim();
    const retrieve = `"$0" ${pathOf('fe-client')} retrieve --id long ${toFe().join(' ')}`;
    const shell = ['-c', `(${retrieve}; echo $? >&2) | head -c 3`, process.execPath];
    const cut = await runCommand('sh', shell, { env: { ENC_SERVER_TS_KEY: key } });
    assert.deepEqual([cut.stdout.toString(), cut.stderr], ['yyy', '0\n']);
  });

  it('show a terminal text with an end of line, and no binary', async (t) => {
    if ((await findCommand('script')) === undefined) {
      t.skip('script(1) is not installed');
      return;
    }
    const show = async (id: string, input: Buffer) => {
      const key = (await fe(['store', '--id', id], { input })).stdout.toString().trim();
      const command = `${process.execPath} ${pathOf('fe-client')} retrieve --id ${id}`;
      const shown = ['-qec', `${command} ${toFe().join(' ')}`, '/dev/null'];
      return await runCommand('script', shown, { env: { ENC_SERVER_TS_KEY: key } });
    };
    assert.equal((await show('text', Buffer.from('hi'))).stdout.toString(), 'hi\r\n');
    assert.equal((await show('line', Buffer.from('hi\n'))).stdout.toString(), 'hi\r\n');
    const binary = await show('binary', Buffer.from([0x1b, 0x5b, 0x32, 0x4a]));
    assert.equal(binary.code, 2);
    assert.match(binary.stdout.toString(), /USAGE the record is binary\r\n {2}hint: .*--out/);
  });
});

describe('a client whose server is not well', () => {
  let folder: string;
  before(async () => {
    folder = await temporaryFolder();
  });
  after(async () => {
    await rm(folder, { recursive: true });
  });

  /** A server that answers HELLO, reads something more, and then does what `treat` says. */
  async function serverThat(treat: (socket: Socket) => void): Promise<[Server, string[]]> {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (hello: Buffer) => {
        for (const part of encodeReply(0, hello.readUInt32BE(8), [])) socket.write(part);
        socket.once('data', () => treat(socket));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    return [server, ['--server', `127.0.0.1:${port}`]];
  }
  const STORE = ['store', '--id', 'a', '--record', 'b'];

  it('exits with 5 when nobody listens, and leaves no key file', async () => {
    const [server, to] = await serverThat(() => undefined);
    await new Promise((resolve) => server.close(resolve));
    const path = join(folder, 'none.key');
    const refused = await run('fe-client', [...STORE, '--key-out', path, ...to]);
    assert.equal(refused.code, 5);
    assert.match(refused.stderr, /UNAVAILABLE .*ECONNREFUSED/);
    await assert.rejects(readFile(path), { code: 'ENOENT' });
    assert.equal((await run('be-client', to)).code, 5);
  });

  it('keeps the key when the answer is lost', async () => {
    const [server, to] = await serverThat((socket) => socket.destroy());
    const path = join(folder, 'lost.key');
    const toFile = await run('fe-client', [...STORE, '--key-out', path, ...to]);
    assert.equal(toFile.code, 5);
    assert.match(toFile.stderr, /may be stored; keep its key.*UNKNOWN_OUTCOME/s);
    assert.match(await readFile(path, 'utf8'), KEY_LINE);
    const printed = await run('fe-client', [...STORE, ...to]);
    assert.equal(printed.code, 5);
    assert.match(printed.stdout.toString(), KEY_LINE);
    server.close();
  });

  it('keeps the key when the server is gone for good after the answer was lost', async () => {
    const [server, to] = await serverThat((socket) => {
      server.close();
      socket.destroy();
    });
    const path = join(folder, 'gone.key');
    const toFile = await run('fe-client', [...STORE, '--key-out', path, ...to]);
    assert.equal(toFile.code, 5);
    assert.match(toFile.stderr, /UNKNOWN_OUTCOME/);
    assert.match(await readFile(path, 'utf8'), KEY_LINE);
  });

  it('keeps the key when no answer comes in time', async () => {
    const [server, to] = await serverThat(() => undefined);
    const printed = await run('fe-client', [...STORE, '--timeout', '300ms', '--json', ...to]);
    assert.equal(printed.code, 5);
    assert.match(JSON.parse(printed.stdout.toString()).key, /^[0-9a-f]{64}$/);
    server.close();
  });

  it('keeps the key when the answer makes no sense', async () => {
    const [server, to] = await serverThat((socket) => socket.end('220 smtp ready\r\n'));
    const printed = await run('fe-client', [...STORE, ...to]);
    assert.notEqual(printed.code, 0);
    assert.match(printed.stdout.toString(), KEY_LINE);
    server.close();
  });

  it('says what is wrong with its configuration file', async () => {
    const config = join(folder, 'config.yaml');
    await writeFile(config, 'feClientConfigs: {serverAddr: nowhere}');
    const { code, stderr } = await run('fe-client', ['store', '--id', 'a', '--config', config]);
    assert.equal(code, 2);
    assert.match(stderr, /BAD_CONFIG .*config\.yaml.*serverAddr.*host:port/);
  });
});

it('a token goes beyond loopback in the clear only where that is allowed', async () => {
  const folder = await temporaryFolder();
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, 'est_of_nobody');
  try {
    const to = ['--server', '192.0.2.1:1', '--token-file', tokenFile, '--timeout', '100ms'];
    for (const [program, command] of [
      ['fe-client', ['list']],
      ['be-client', ['retrieve', '--id', 'a']],
    ] as const) {
      const refused = await run(program, [...command, ...to]);
      assert.equal(refused.code, 2, refused.stderr);
      assert.match(refused.stderr, /BAD_CONFIG 192\.0\.2\.1 .*\n.*--allow-plaintext/);
      const allowed = await run(program, [...command, ...to, '--allow-plaintext']);
      assert.equal(allowed.code, 5, allowed.stderr);
    }
    const flags = ['status', '--fe', '192.0.2.1:1', '--token-file', tokenFile];
    assert.match((await run('enc-server', flags)).stderr, /BAD_CONFIG .*in the clear/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
