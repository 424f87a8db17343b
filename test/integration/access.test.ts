/** TLS and tokens as a person uses them: two more flags, or two environment variables. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type RunningUp, run, startUp, until } from '../helpers/programs.ts';

const TOKEN = /^est_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\n$/;

let folder: string;
let up: RunningUp;
let data: string;
let tls: string;
let tokenFile: string;
let flags: readonly string[];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-access-'));
  data = join(folder, 'data');
  tls = join(folder, 'own tls');
  tokenFile = join(folder, 'token');
  const made = await run('enc-server', ['keys', 'tls-init', '--out', tls]);
  assert.equal(made.code, 0, made.stderr);
  const scopes = ['--scopes', 'store,retrieve,delete', '--data-dir', data];
  const created = await run('enc-server', ['tokens', 'create', ...scopes, '--out', tokenFile]);
  assert.equal(created.code, 0, created.stderr);
  assert.equal(created.stdout.toString(), '');
  up = await startUp(data, ['--tls', tls, '--auth']);
  flags = ['--tls-ca', join(tls, 'ca.pem'), '--token-file', tokenFile];
});
after(async () => {
  await up.killAll();
  await rm(folder, { recursive: true, force: true });
});

test('what up says to try can be pasted into a shell', () => {
  assert.match(up.stdout, /^try: .* --tls-ca '[^']+\/own tls\/ca\.pem' --token-file TOKEN_FILE$/m);
});

test('what tls-init and tokens write is for its owner alone, and never overwritten', async () => {
  for (const file of ['ca.key', 'fe.key', 'be.key', 'admin.key']) {
    assert.equal((await stat(join(tls, file))).mode & 0o777, 0o600, file);
  }
  assert.match(await readFile(tokenFile, 'utf8'), TOKEN);
  const again = await run('enc-server', ['keys', 'tls-init', '--out', tls]);
  assert.equal(again.code, 7);
  const taken = ['tokens', 'create', '--scopes', 'store', '--data-dir', data, '--out', tokenFile];
  assert.equal((await run('enc-server', taken)).code, 2);
});

/** The code of the error that a request over HTTPS is answered with. */
function codeOf(path: string, headers: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const ca = readFileSync(join(tls, 'ca.pem'));
    const to = { host: 'localhost', port: up.fePort, path, headers, ca, agent: false };
    get(to, async (answer) => {
      let body = '';
      for await (const chunk of answer) body += chunk;
      resolve(JSON.parse(body).code);
    }).on('error', reject);
  });
}

test('every command of a session with two more flags', async () => {
  const key = join(folder, 'alice.key');
  const to = [...up.toFe, ...flags];
  const stored = await run('fe-client', [
    'store',
    '--id',
    'alice',
    '--record',
    'hi',
    '--key-out',
    key,
    ...to,
  ]);
  assert.equal(stored.code, 0, stored.stderr);
  const got = await run('fe-client', ['retrieve', '--id', 'alice', '--key-file', key, ...to]);
  assert.equal(got.stdout.toString(), 'hi');
  const deleted = await run('fe-client', ['delete', '--id', 'alice', '--key-file', key, ...to]);
  assert.equal(deleted.stdout.toString(), 'SUCCESS\n');
  const trial = await run('fe-client', to);
  assert.equal(trial.code, 0, trial.stderr);
});

/** Whether a program of the system is here; else why a test is skipped. */
function missing(program: string): string | false {
  return spawnSync(program, ['--version']).error !== undefined && `there is no ${program} here`;
}

test('curl, over HTTPS with a token', { skip: missing('curl') }, async () => {
  const token = (await readFile(tokenFile, 'utf8')).trim();
  const url = `https://localhost:${up.fePort}/data`;
  const args = ['--silent', '--max-time', '10', '--cacert', join(tls, 'ca.pem')];
  // From standard input, as a token on the command line is visible in the process list.
  const input = `header = "Authorization: Bearer ${token}"\n`;
  const known = spawnSync('curl', [...args, '--config', '-', url], { input, encoding: 'utf8' });
  assert.deepEqual([known.status, known.stdout], [0, '[]']);
  const nobody = spawnSync('curl', [...args, '--write-out', ' %{http_code}', url]);
  assert.match(nobody.stdout.toString(), / 401$/);
  const untrusting = spawnSync('curl', ['--silent', '--max-time', '10', url]);
  // Its exit code for a certificate that cannot be verified.
  assert.equal(untrusting.status, 60);
});

test('openssl s_client, in text lines', { skip: missing('openssl') }, async () => {
  const token = (await readFile(tokenFile, 'utf8')).trim();
  const to = ['-connect', `localhost:${up.fePort}`, '-CAfile', join(tls, 'ca.pem')];
  const session = (args: string[], input: string) =>
    spawnSync('openssl', ['s_client', '-quiet', '-verify_return_error', ...to, ...args], {
      input,
      encoding: 'utf8',
      timeout: 20_000,
    });
  const said = session([], `AUTH ${token}\nPING\nQUIT\n`);
  assert.equal(said.stdout, 'SUCCESS\nPONG\n', said.stderr);
  const old = session(['-tls1_2'], 'QUIT\n');
  assert.notEqual(old.status, 0);
  assert.match(old.stderr, /alert protocol version/);
});

test('the same with two environment variables', async () => {
  const env = { ENC_SERVER_TS_TLS_CA: join(tls, 'ca.pem'), ENC_SERVER_TS_TOKEN_FILE: tokenFile };
  const trial = await run('fe-client', up.toFe, { env });
  assert.equal(trial.code, 0, trial.stderr);
});

test('without them: not allowed, in words, and exit codes that say which', async () => {
  const ca = ['--tls-ca', join(tls, 'ca.pem')];
  const nobody = await run('fe-client', ['store', '--id', 'x', '--record', 'y', ...up.toFe, ...ca]);
  assert.equal(nobody.code, 6);
  assert.match(nobody.stderr, /UNAUTHENTICATED .*\n {2}hint: .*--token-file/);
  const untrusted = await run('fe-client', ['head', '--id', 'x', ...up.toFe, '--tls']);
  assert.equal(untrusted.code, 5);
  assert.match(untrusted.stderr, /TLS_FAILED .*unknown authority/);
  const missing = [...up.toFe, ...ca, '--token-file', join(folder, 'none')];
  assert.equal((await run('fe-client', ['head', '--id', 'x', ...missing])).code, 2);
  assert.equal(
    (await run('be-client', ['store', '--id', 'x', '--record', 'y', ...up.toBe, ...ca])).code,
    6,
  );
});

test('tokens are listed without their secrets, and revoked while the servers run', async () => {
  const created = await run('enc-server', [
    ...['tokens', 'create', '--scopes', 'retrieve', '--namespace', 'team', '--expires', '30d'],
    ...['--note', 'for a test', '--data-dir', data, '--json'],
  ]);
  const { id, token } = JSON.parse(created.stdout.toString());
  assert.match(`${token}\n`, TOKEN);
  const listed = await run('enc-server', ['tokens', 'list', '--data-dir', data]);
  assert.match(
    listed.stdout.toString(),
    new RegExp(`${id} +valid +retrieve +team +\\d{4}-.* for a test`),
  );
  assert.doesNotMatch(listed.stdout.toString(), /est_/);
  const ask = async () => {
    const headers = { Authorization: `Bearer ${token}`, 'Enc-Record-Key': '01'.repeat(32) };
    return await codeOf('/v1/records/none', headers);
  };
  await until('the new token', async () => ((await ask()) === 'NOT_FOUND' ? true : undefined));
  const revoked = await run('enc-server', ['tokens', 'revoke', id, '--data-dir', data]);
  assert.equal(revoked.stdout.toString(), 'SUCCESS\n');
  await until('the end of the token', async () =>
    (await ask()) === 'UNAUTHENTICATED' ? true : undefined,
  );
  assert.equal((await run('enc-server', ['tokens', 'revoke', id, '--data-dir', data])).code, 3);
});

test('mistakes on the command line of tokens are told before anything is touched', async () => {
  for (const args of [
    ['create'],
    ['create', '--scopes', 'stroe'],
    ['create', '--scopes', 'frontend'],
    ['create', '--scopes', 'store', '--be'],
    ['create', '--scopes', 'store', '--expires', 'yesterday'],
    ['create', '--scopes', 'store', '--expires', '2001-01-01'],
    ['create', '--scopes', 'store', '--expires', '2099-02-30'],
    ['create', '--scopes', 'store', '--expires', '2099-2-30'],
    ['create', '--scopes', 'store', '--expires', 'Feb 3 2099'],
    ['revoke', 'nonsense'],
    ['revoke'],
    ['conjure'],
  ]) {
    const { code, stdout, stderr } = await run('enc-server', ['tokens', ...args]);
    assert.equal(code, 2, `${args}: ${stderr}`);
    assert.equal(stdout.toString(), '');
    assert.match(stderr, /hint|Usage/);
  }
});

test('status: both servers at a glance, as an operator and as nobody', async () => {
  const where = ['--fe', `localhost:${up.fePort}`, '--be', `localhost:${up.bePort}`];
  const well = await run('enc-server', ['status', ...where, '--tls', tls]);
  assert.equal(well.code, 0, well.stderr);
  assert.match(
    well.stdout.toString(),
    /^fe localhost:\d+ +ok .*\nbe localhost:\d+ +ok .* level, about \d+ records/m,
  );
  const json = await run('enc-server', ['status', ...where, '--tls', tls, '--json']);
  const [fe, be] = JSON.parse(json.stdout.toString());
  assert.deepEqual([fe.ok, be.ok, fe.epoch, be.epoch], [true, true, 1, 1]);
  const nobody = await run('enc-server', ['status', ...where]);
  assert.equal(nobody.code, 6);
  assert.match(nobody.stdout.toString(), /UNAUTHENTICATED/);
});

test('secrets are in no log and in no line that was printed', async () => {
  const token = (await readFile(tokenFile, 'utf8')).trim();
  assert.ok(!up.stdout.includes(token) && !up.stderr.includes(token));
  const file = await readFile(join(data, 'fe-tokens.json'), 'utf8');
  // Base64url has underscores of its own: the secret is what comes after the second.
  const secret = token.slice('est_'.length + 12 + '_'.length);
  assert.equal(secret.length, 43);
  assert.ok(!file.includes(secret));
});
