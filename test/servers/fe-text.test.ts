/** What a person, and the family's clients, get from the front end with `nc`. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { FeClient } from '../../lib/fe/client.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';
import { ask, Wire } from '../helpers/wire.ts';

const HEX_KEY = /^[0-9a-f]{64}$/;

let servers: TestServers;
before(async () => {
  servers = await startServers();
});
after(() => servers.close());

/** Sends one line on a connection of its own, as the Go v1 client does. */
async function say(line: string): Promise<string> {
  const wire = await Wire.open(servers.fe.port);
  wire.send(`${line}\n`);
  const answer = await wire.line();
  wire.close();
  return answer;
}

for (const record of [
  'hello',
  ' two  spaces ',
  '',
  'tab\there',
  'naïve ✓',
  'I like HTTP/1.1',
  '0',
]) {
  test(`a record comes back as it was: ${JSON.stringify(record)}`, async () => {
    const key = await say(`STORE alice ${record}`);
    assert.match(key, HEX_KEY);
    assert.equal(await say(`RETRIEVE alice ${key}`), record);
    assert.equal(await say(`RETRIEVE alice ${key.toUpperCase()}`), record);
    assert.equal(await say('DELETE alice'), 'SUCCESS');
  });
}

test('bytes go in and out in base64', async () => {
  const bytes = Buffer.concat([Buffer.from('\n\0\xff', 'latin1'), randomBytes(100_000)]);
  const base64 = bytes.toString('base64');
  const key = await say(`STORE64 bin ${base64}`);
  assert.match(key, HEX_KEY);
  assert.equal(await say(`RETRIEVE64 bin ${key}`), base64);
  assert.match(await say(`RETRIEVE bin ${key}`), /^ERROR NOT_TEXT [^;]+; .*RETRIEVE64/);
  assert.equal(await say(`STORE64 bin ${base64.slice(0, 8)}`).then((one) => one.length), 64);
});

test('what looks like a failure is never written raw', async () => {
  const key = await say('STORE liar ERROR NOT_FOUND');
  assert.equal(
    await say(`RETRIEVE liar ${key}`),
    'ERROR NOT_TEXT the record begins with ERROR, as failures do; use RETRIEVE64 or fe-client',
  );
  const base64 = Buffer.from('ERROR NOT_FOUND').toString('base64');
  assert.equal(await say(`RETRIEVE64 liar ${key}`), base64);
});

test('the bare verbs', async () => {
  assert.equal(await say('PING'), 'PONG');
  assert.match(await say('HELP'), /STORE <id> <record>.*RETRIEVE64.*QUIT/);
  const info = JSON.parse(await say('INFO'));
  assert.equal(info.server, 'fe');
  assert.equal(info.ok, true);
  assert.equal(info.backEnd, 'connected');
  assert.equal(info.bytesInFlight, 0);
  assert.match(info.keyring, /^[0-9a-f]{32}$/);
});

test('QUIT closes without an answer, and what comes behind it is dropped', async () => {
  assert.equal(await ask(servers.fe.port, 'PING\nQUIT\nPING\n'), 'PONG\n');
  const wire = await Wire.open(servers.fe.port);
  wire.send('QUIT\n');
  assert.equal((await wire.rest()).length, 0);
  wire.close();
});

test('lines in one packet are answered in order, CRLF or LF, the last without an end', async () => {
  const answer = await ask(servers.fe.port, 'PING\r\nSTORE carol x\nDELETE carol\r\nPING\n\nPING');
  const lines = answer.split('\n');
  assert.equal(lines[0], 'PONG');
  assert.match(lines[1] ?? '', HEX_KEY);
  assert.deepEqual(lines.slice(2, 4), ['SUCCESS', 'PONG']);
  assert.match(lines[4] ?? '', /^ERROR UNKNOWN_VERB the line is empty; /);
  assert.deepEqual(lines.slice(5), ['PONG', '']);
});

test('a line is answered however slowly its bytes come', async () => {
  const wire = await Wire.open(servers.fe.port);
  for (const byte of 'STORE dave drop by drop\r\n') await wire.sendAlone(byte);
  assert.match(await wire.line(), HEX_KEY);
  wire.close();
});

test('the deleted is gone, and deleting again succeeds', async () => {
  const key = await say('STORE erin x');
  assert.equal(await say('DELETE erin'), 'SUCCESS');
  assert.match(await say(`RETRIEVE erin ${key}`), /^ERROR NOT_FOUND /);
  assert.equal(await say('DELETE erin'), 'SUCCESS');
});

test('with a key, only the right one deletes', async () => {
  const key = await say('STORE frank x');
  const other = await say('STORE other x');
  assert.match(await say(`DELETE frank ${other}`), /^ERROR WRONG_KEY /);
  assert.equal(await say(`RETRIEVE frank ${key}`), 'x');
  assert.equal(await say(`DELETE frank ${key}`), 'SUCCESS');
  assert.equal(await say(`DELETE frank ${key}`), 'SUCCESS');
  assert.match(await say(`RETRIEVE frank ${key}`), /^ERROR NOT_FOUND /);
});

test('a stored record is replaced, and its old key opens nothing', async () => {
  const old = await say('STORE grace one');
  const key = await say('STORE grace two');
  assert.match(await say(`RETRIEVE grace ${old}`), /^ERROR WRONG_KEY /);
  assert.equal(await say(`RETRIEVE grace ${key}`), 'two');
});

const WRONG: readonly [code: string, line: string | Buffer][] = [
  ['UNKNOWN_VERB', 'store alice x'],
  ['UNKNOWN_VERB', 'STOREX alice x'],
  ['MISSING_FIELD', 'STORE alice'],
  ['MISSING_FIELD', 'RETRIEVE alice'],
  ['INVALID_ID', 'STORE  x'],
  ['INVALID_ID', `STORE ${'i'.repeat(1025)} x`],
  ['INVALID_KEY', 'RETRIEVE alice 00'],
  ['INVALID_KEY', `RETRIEVE alice ${'g'.repeat(64)}`],
  ['INVALID_LINE', `RETRIEVE alice ${'0'.repeat(64)} more`],
  ['INVALID_LINE', 'STORE alice a\0b'],
  ['INVALID_LINE', Buffer.from('STORE alice \xff\xfe', 'latin1')],
  ['INVALID_RECORD', 'STORE64 alice a=b'],
  ['NOT_FOUND', `RETRIEVE nobody ${'0'.repeat(64)}`],
];

for (const [code, line] of WRONG) {
  const title = JSON.stringify(line.toString('latin1')).slice(0, 40);
  test(`${title} is ${code} in one line, and the connection lives on`, async () => {
    const wire = await Wire.open(servers.fe.port);
    wire.send(Buffer.concat([Buffer.from(line), Buffer.from('\nPING\n')]));
    const answer = await wire.line();
    assert.match(answer, new RegExp(`^ERROR ${code} [^;]+; [^;]+`));
    assert.doesNotMatch(answer, /alice|iiii/);
    assert.equal(await wire.line(), 'PONG');
    wire.close();
  });
}

test('the hint for bytes that no line may hold is STORE64', async () => {
  assert.match(await say('STORE alice a\0b'), /^ERROR INVALID_LINE [^;]+; .*STORE64$/);
});

test('lower case gets a hint of its own', async () => {
  assert.match(await say('retrieve alice 00'), /; verbs are upper case: RETRIEVE$/);
});

test('a record over the maximum is refused, whether as a line or as a record', async () => {
  const small = await startServers({ feServerConfigs: { recordBytesMax: 1000 } });
  const wire = await Wire.open(small.fe.port);
  wire.send(`STORE alice ${'x'.repeat(1001)}\nSTORE alice ${'x'.repeat(1000)}\n`);
  assert.match(await wire.line(), /^ERROR RECORD_TOO_LARGE a record of 1001 bytes; at most 1000/);
  assert.match(await wire.line(), HEX_KEY);
  wire.send('x'.repeat(70_000));
  assert.match((await wire.rest()).toString(), /^ERROR LINE_TOO_LONG [^\n]+\n$/);
  wire.close();
  await small.close();
});

test('a line that does not end in time is TIMEOUT', async () => {
  const quick = await startServers({ feServerConfigs: { receiveTimeoutMs: 50 } });
  const wire = await Wire.open(quick.fe.port);
  wire.send('PING\nSTORE alice ...');
  assert.equal(await wire.line(), 'PONG');
  assert.match((await wire.rest()).toString(), /^ERROR TIMEOUT [^\n]+\n$/);
  wire.close();
  await quick.close();
});

test('the Go v1 client: hex ID, hex record, a connection for each request', async () => {
  const id = Buffer.from('alice').toString('hex');
  const record = Buffer.from('multi\nline').toString('hex');
  const key = await say(`STORE ${id} ${record}`);
  assert.match(key, HEX_KEY);
  assert.equal(await say(`RETRIEVE ${id} ${key}`), record);
  assert.doesNotMatch(await say(`DELETE ${id}`), /^ERROR/);
  assert.match(await say(`RETRIEVE ${id} ${key}`), /^ERROR/);
});

test('the Python client: raw ID and record, one receive for each answer', async () => {
  const receive = async (message: string) => {
    const wire = await Wire.open(servers.fe.port);
    wire.send(message);
    const first = await new Promise<Buffer>((resolve) => wire.socket.once('data', resolve));
    wire.close();
    return first.toString().trim();
  };
  const key = await receive('STORE python a record with spaces\n');
  assert.match(key, HEX_KEY);
  assert.equal(await receive(`RETRIEVE python ${key}\n`), 'a record with spaces');
  assert.equal(await receive(`DELETE python ${key}\n`), 'SUCCESS');
});

test('under textEncoding hex, IDs and records are hexadecimal text', async () => {
  const hex = await startServers({ feServerConfigs: { textEncoding: 'hex' } });
  const ask = async (line: string) => {
    const wire = await Wire.open(hex.fe.port);
    wire.send(`${line}\n`);
    const answer = await wire.line();
    wire.close();
    return answer;
  };
  try {
    const key = await ask('STORE 616c696365 00ff0A');
    assert.match(key, HEX_KEY);
    assert.equal(await ask(`RETRIEVE 616C696365 ${key}`), '00ff0a');
    assert.equal(await ask(`RETRIEVE64 616c696365 ${key}`), 'AP8K');
    assert.match(await ask('STORE alice 00'), /^ERROR INVALID_ID .*hex/);
    assert.match(await ask('STORE 616c696365 0'), /^ERROR INVALID_RECORD .*hex/);
    const client = new FeClient({ address: { host: '127.0.0.1', port: hex.fe.port } });
    const seen = await client.retrieve('alice', Buffer.from(key, 'hex'));
    assert.deepEqual(seen.record, Buffer.from('00ff0a', 'hex'));
    client.close();
  } finally {
    await hex.close();
  }
});
