/** What is asked of both real servers, by every dialect, stands in their audit logs. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parseLine } from '../../lib/audit/chain.ts';
import { initAudit } from '../../lib/audit/key-files.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { makeToken, type TestToken } from '../helpers/access.ts';
import { type AuditFiles, auditFilesIn, findingsOf, verify } from '../helpers/audit.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { GrpcClient } from '../helpers/grpc.ts';
import { http } from '../helpers/http.ts';
import { findSecrets } from '../helpers/secret-search.ts';
import { startServers, type TestServers, temporaryFolder } from '../helpers/servers.ts';
import { Wire } from '../helpers/wire.ts';

const KEY = Buffer.from(Array.from({ length: 32 }, (_none, index) => index));
const OTHER_KEY = Buffer.from(KEY).reverse();
const ID = 'alice@example.test';
const SPACE = 'the-ledger-of-2026';
const RECORD = 'what nobody else may read';

interface Line {
  readonly op: string;
  readonly who: string;
  readonly from: string;
  readonly record?: string;
  readonly namespace?: string;
  readonly trace?: string;
  readonly epoch?: number;
  readonly outcome: string;
}

let folder: string;
let servers: TestServers;
let all: TestToken;
let fe: AuditFiles;
let be: AuditFiles;
let client: FeClient;
/** Lines of the front end that an earlier test has seen. */
let seen = 0;

before(async () => {
  folder = await temporaryFolder();
  const tokens = join(folder, 'fe.json');
  all = await makeToken(tokens, ['store', 'retrieve', 'delete', 'admin']);
  const logs = { fe: auditFilesIn(join(folder, 'fe')), be: auditFilesIn(join(folder, 'be')) };
  ({ fe, be } = logs);
  for (const files of [fe, be]) {
    await mkdir(files.folder);
    await initAudit(files);
  }
  const auditOf = ({ path, keyFile }: AuditFiles) => ({
    auditLog: path,
    auditKeyFile: keyFile,
    auditFailure: 'closed',
  });
  servers = await startServers({
    feServerConfigs: { ...auditOf(fe), auth: 'required', tokens },
    beServerConfigs: auditOf(be),
  });
  const address = { host: '127.0.0.1', port: servers.fe.port };
  client = new FeClient({ address, token: all.token, attemptsMax: 1 });
});
after(async () => {
  client.close();
  await servers.close();
  await rm(folder, { recursive: true });
});

async function linesOf({ path }: AuditFiles): Promise<Line[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').slice(0, -1);
  return lines.map((line) => parseLine(Buffer.from(line))?.fields as unknown as Line);
}

/** The callers' lines that came since the last time. */
async function newLines(): Promise<Line[]> {
  const lines = (await linesOf(fe)).slice(seen);
  seen += lines.length;
  return lines.filter(({ who }) => who !== undefined && who !== 'server');
}

const told = (lines: readonly Line[]) => lines.map(({ op, outcome }) => `${op} ${outcome}`);

test('frames: every operation, and what became of it', async () => {
  const call = { key: KEY, namespace: SPACE };
  await client.store(ID, Buffer.from(RECORD), call);
  await client.retrieve(ID, KEY, { namespace: SPACE });
  await rejectsWith(client.retrieve(ID, OTHER_KEY, { namespace: SPACE }), 'WRONG_KEY');
  await client.head(ID, { namespace: SPACE });
  await client.rekey(ID, KEY, OTHER_KEY, { namespace: SPACE });
  await client.list({}, { namespace: SPACE });
  await client.delete(ID, { namespace: SPACE });
  await rejectsWith(client.retrieve(ID, KEY, { namespace: SPACE }), 'NOT_FOUND');
  const lines = await newLines();
  assert.deepEqual(told(lines), [
    'store ok',
    'retrieve ok',
    'retrieve WRONG_KEY',
    'peek ok',
    'rekey ok',
    'list ok',
    'delete ok',
    'retrieve NOT_FOUND',
  ]);
  const [store, , , , , list] = lines;
  assert.equal(store?.who, `token ${all.id}`);
  assert.match(store?.from ?? '', /127\.0\.0\.1/);
  assert.match(store?.trace ?? '', /^[0-9a-f]{32}$/);
  assert.match(list?.namespace ?? '', /^[0-9a-f]{64}$/);
  const records = new Set(lines.map(({ record }) => record).filter(Boolean));
  assert.deepEqual(records, new Set([store?.record]));
});

test('under uniform errors callers are told one thing, and the log what it really was', async () => {
  const own = await temporaryFolder();
  const files = auditFilesIn(own);
  await initAudit(files);
  const { path: auditLog, keyFile: auditKeyFile } = files;
  const audit = { auditLog, auditKeyFile, auditFailure: 'closed' };
  const hiding = await startServers({
    feServerConfigs: { ...audit, uniformErrors: true, writePolicy: 'key-proof' },
  });
  const caller = new FeClient({ address: { host: '127.0.0.1', port: hiding.fe.port } });
  await caller.store(ID, Buffer.from(RECORD), { key: KEY });
  await rejectsWith(caller.retrieve(ID, OTHER_KEY), 'NOT_FOUND');
  await rejectsWith(caller.rekey(ID, OTHER_KEY, randomBytes(32)), 'NOT_FOUND');
  assert.equal(await caller.delete(ID, { key: OTHER_KEY }), false);
  await rejectsWith(caller.retrieve('nobody', OTHER_KEY), 'NOT_FOUND');
  caller.close();
  await hiding.close();
  const lines = (await linesOf(files)).filter(({ record }) => record !== undefined);
  await rm(own, { recursive: true });
  assert.deepEqual(told(lines), [
    'store ok',
    'retrieve WRONG_KEY',
    'rekey WRONG_KEY',
    'delete WRONG_KEY',
    'retrieve NOT_FOUND',
  ]);
});

test('a batch: a line for each of its items', async () => {
  const answers = await client.batch([
    { op: 'store', id: 'one', record: Buffer.from('1'), key: KEY },
    { op: 'store', id: 'two', record: Buffer.from('2'), key: KEY },
    { op: 'delete', id: 'none' },
  ]);
  assert.equal(answers.length, 3);
  assert.deepEqual(told(await newLines()).sort(), ['delete ok', 'store ok', 'store ok']);
});

test('text: who says who it is, who does not, and who says nonsense', async () => {
  const wire = await Wire.open(servers.fe.port);
  wire.send(`STORE bob hi\nAUTH est_nonsense\nAUTH ${all.token}\nSTORE bob hi\nINFO\nPING\n`);
  for (let line = 0; line < 6; line++) await wire.line();
  wire.close();
  const lines = await newLines();
  assert.deepEqual(told(lines), [
    'store UNAUTHENTICATED',
    'auth UNAUTHENTICATED',
    'store ok',
    'info ok',
  ]);
  assert.deepEqual(
    lines.map(({ who }) => who),
    ['nobody', 'nobody', `token ${all.id}`, `token ${all.id}`],
  );
});

test('HTTP: who may not store is noted, though his body is not read', async () => {
  const answer = await http(servers.fe.port, 'PUT', '/v1/records/dora', { body: 'hi' });
  assert.equal(answer.status, 401);
  const [line, ...others] = await newLines();
  assert.deepEqual([told([line as Line]), others.length], [['store UNAUTHENTICATED'], 0]);
  assert.equal(line?.who, 'nobody');
  assert.match(String(line?.record), /^[0-9a-f]{64}$/);
});

test('HTTP: records, the items of /data, lists', async () => {
  const { port } = servers.fe;
  const headers = { authorization: `Bearer ${all.token}` };
  const json = { ...headers, 'content-type': 'application/json' };
  await http(port, 'PUT', '/v1/records/carol', { headers, body: 'hi' });
  await http(port, 'GET', '/v1/records', { headers });
  const body = JSON.stringify({ id: 7, data: 'seven' });
  assert.equal((await http(port, 'POST', '/data', { headers: json, body })).status, 200);
  assert.equal((await http(port, 'GET', '/data/7', { headers })).status, 200);
  assert.equal((await http(port, 'GET', '/data', { headers })).status, 200);
  const lines = await newLines();
  assert.deepEqual(told(lines), ['store ok', 'list ok', 'store ok', 'retrieve ok', 'list ok']);
  // The server asks itself for the list of items; the line says for whom.
  assert.ok(lines.every(({ who }) => who === `token ${all.id}`));
});

test('gRPC', async () => {
  const grpc = new GrpcClient(servers.fe.port, 'encserver.v1.FrontendService');
  const { token } = all;
  const id = Buffer.from('dave');
  await grpc.call('Store', { id, record: Buffer.from('hi'), key: KEY }, { token });
  await grpc.call('Retrieve', { id, key: KEY }, { token });
  assert.equal((await grpc.fails('Delete', { id }, {})).errorCode, 'UNAUTHENTICATED');
  grpc.close();
  const lines = told(await newLines());
  assert.deepEqual(lines, ['store ok', 'retrieve ok', 'delete UNAUTHENTICATED']);
});

test('the back end: what front ends ask, under the same trace, and nothing that names a record', async () => {
  const { key } = await client.store('erin', Buffer.from('hi'));
  const [store] = await newLines();
  const lines = await linesOf(be);
  const put = lines.findLast(({ op }) => op === 'put');
  assert.equal(put?.trace, store?.trace);
  assert.equal(put?.outcome, 'ok');
  assert.notEqual(put?.record, store?.record);
  assert.ok(lines.some(({ op, epoch }) => op === 'hello' && epoch === 1));
  assert.ok(lines.some(({ op }) => op === 'scan'));
  await client.delete('erin', { key });
});

test('both logs hold, and have neither key nor token nor name nor record in them', async () => {
  for (const files of [fe, be]) {
    assert.deepEqual(findingsOf(await verify(files, { state: true })), []);
    const secrets = { KEY, OTHER_KEY, ID, SPACE, RECORD, token: all.token };
    const places = new Map([[files.path, await readFile(files.path)]]);
    assert.deepEqual(findSecrets(secrets, places), []);
  }
});

test('the metrics count lines', async () => {
  const headers = { authorization: `Bearer ${all.token}` };
  const page = (await http(servers.fe.port, 'GET', '/metrics', { headers })).body.toString();
  assert.match(page, /^enc_server_audit_lines_total [1-9]\d*$/m);
  assert.match(page, /^enc_server_audit_lost_lines_total 0$/m);
  assert.match(page, /^enc_server_audit_failing 0$/m);
});
