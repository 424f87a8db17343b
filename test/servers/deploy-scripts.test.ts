import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { filesUnder, pathInRepository, readRepository } from '../helpers/repository.ts';
import { makeSecrets, withSecrets } from '../helpers/secrets-folder.ts';
import { startServers } from '../helpers/servers.ts';

const SCRIPTS = filesUnder('deployments').filter((path) => path.endsWith('.sh'));
const ADDRESS = 'mongo:27017';
const NAMES = ['mongo/keyfile', 'mongo/root-password', 'mongo/be-password', 'be/mongo-uri'];

async function ping(...args: string[]): Promise<{ code: number | null; stderr: string }> {
  const script = pathInRepository('deployments/docker/ping.js');
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const [code] = await once(child, 'close');
  return { code, stderr };
}

/** What the check says of a server that does this with each connection. */
async function pingOf(behave: (socket: Socket) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => undefined));
    behave(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  try {
    return await ping(String((server.address() as AddressInfo).port));
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

describe('ping.js', () => {
  it('succeeds with both servers, and says what is wrong when there is none', async () => {
    const servers = await startServers();
    const bePort = String(servers.be.port);
    try {
      assert.deepEqual(await ping(String(servers.fe.port)), { code: 0, stderr: '' });
      assert.deepEqual(await ping(bePort, '127.0.0.1'), { code: 0, stderr: '' });
    } finally {
      await servers.close();
    }
    const { code, stderr } = await ping(bePort);
    assert.equal(code, 1);
    assert.match(stderr, /cannot be reached: ECONNREFUSED/);
  });

  it('takes an answer in pieces, and no other answer', async () => {
    const pieces = await pingOf((socket) => {
      socket.write('PO', () => setImmediate(() => socket.write('NG\n')));
    });
    assert.equal(pieces.code, 0);
    const other = await pingOf((socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
    assert.equal(other.code, 1);
    assert.match(other.stderr, /not with PONG/);
    const silent = await pingOf((socket) => socket.end());
    assert.equal(silent.code, 1);
    assert.match(silent.stderr, /hung up/);
  });
});

describe('make_secrets.sh', () => {
  it('makes what MongoDB and the back end need, for their owner alone', async () => {
    await withSecrets(ADDRESS, (folder) => {
      for (const name of NAMES) {
        assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
      }
      const read = (name: string) => readFileSync(join(folder, name), 'utf8');
      // MongoDB takes 6 to 1024 characters of base64.
      assert.match(read('mongo/keyfile'), /^[A-Za-z0-9+/]{1008}$/);
      assert.match(read('mongo/root-password'), /^[0-9a-f]{64}$/);
      assert.match(read('mongo/be-password'), /^[0-9a-f]{64}$/);
      const uri = new URL(read('be/mongo-uri').trim());
      assert.equal(uri.password, read('mongo/be-password'));
      assert.notEqual(read('mongo/root-password'), read('mongo/be-password'));
    });
  });

  it('keeps what is there, and makes anew what is lost or was never finished', async () => {
    await withSecrets(ADDRESS, (folder) => {
      const read = () => NAMES.map((name) => readFileSync(join(folder, name), 'utf8'));
      const before = read();
      assert.equal(makeSecrets([folder, ADDRESS]).status, 0);
      assert.deepEqual(read(), before);
      writeFileSync(join(folder, 'be/mongo-uri'), '');
      writeFileSync(join(folder, 'mongo/keyfile.new'), 'torn');
      assert.equal(makeSecrets([folder, ADDRESS]).status, 0);
      assert.deepEqual(read(), before);
    });
  });

  it('draws other secrets for another deployment', async () => {
    const keys = await Promise.all(
      [1, 2].map(() => withSecrets(ADDRESS, (f) => readFileSync(join(f, 'mongo/keyfile'), 'utf8'))),
    );
    assert.notEqual(keys[0], keys[1]);
  });

  it('gives each part to the user that reads it', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root may give files away');
    await withSecrets(ADDRESS, (folder) => {
      const owners = { MONGO_OWNER: '999:999', BE_OWNER: '1000:1000' };
      assert.equal(makeSecrets([folder, ADDRESS], owners).status, 0);
      for (const name of NAMES) {
        const { uid, gid } = statSync(join(folder, name));
        const owner = name.startsWith('be/') ? 1000 : 999;
        assert.deepEqual([uid, gid], [owner, owner], name);
      }
    });
  });

  it('makes nothing when it is called wrongly', () => {
    const { status, stderr } = makeSecrets(['only-a-folder']);
    assert.equal(status, 2);
    assert.match(stderr, /^usage: .* FOLDER MONGO_HOST:PORT/);
    assert.equal(existsSync('only-a-folder'), false);
  });
});

describe('scripts', () => {
  it('are executable, stop at the first failure, and are sh', () => {
    assert.deepEqual(SCRIPTS, [
      'deployments/minikube/start_cluster.sh',
      'deployments/minikube/stop_cluster.sh',
      'deployments/mongo/make_secrets.sh',
    ]);
    for (const path of SCRIPTS) {
      assert.equal(statSync(pathInRepository(path)).mode & 0o111, 0o111, path);
      assert.match(readRepository(path), /^#!\/bin\/sh\n(?:.*\n)*set -eu\n/, path);
      const { status, stderr } = spawnSync('sh', ['-n', pathInRepository(path)]);
      assert.equal(status, 0, `${path}: ${stderr}`);
    }
  });

  it('are clean for shellcheck', (t) => {
    const paths = SCRIPTS.map(pathInRepository);
    const { error, status, stdout } = spawnSync('shellcheck', paths, { encoding: 'utf8' });
    if (error !== undefined) return t.skip('shellcheck is not installed');
    assert.equal(status, 0, stdout);
  });

  it('stop_cluster.sh takes nothing but --delete', () => {
    const script = pathInRepository('deployments/minikube/stop_cluster.sh');
    const { status, stderr } = spawnSync('sh', [script, '--destroy'], { encoding: 'utf8' });
    assert.equal(status, 2);
    assert.match(stderr, /^usage: .*\[--delete\]/);
  });
});
