/** What the family's front ends get from the back end. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';
import { ask, Wire } from '../helpers/wire.ts';

let servers: TestServers;
before(async () => {
  servers = await startServers();
});
after(() => servers.close());

async function say(line: string): Promise<string> {
  const wire = await Wire.open(servers.be.port);
  wire.send(`${line}\n`);
  const answer = await wire.line();
  wire.close();
  return answer;
}

test('tokens are kept literally: store, retrieve, replace, delete', async () => {
  assert.equal(await say('STORE 616C 68656c6c6f'), 'SUCCESS');
  assert.equal(await say('RETRIEVE 616C'), '68656c6c6f');
  assert.match(await say('RETRIEVE 616c'), /^ERROR NOT_FOUND /);
  assert.equal(await say('STORE 616C 00'), 'SUCCESS');
  assert.equal(await say('RETRIEVE 616C'), '00');
  assert.equal(await say('DELETE 616C'), 'SUCCESS');
  assert.equal(await say('DELETE 616C'), 'SUCCESS');
  assert.match(await say('RETRIEVE 616C'), /^ERROR NOT_FOUND /);
});

test('several lines in one packet are answered in order', async () => {
  const answer = await ask(servers.be.port, 'STORE aa 11\r\nRETRIEVE aa\nDELETE aa\nPING');
  assert.equal(answer, 'SUCCESS\n11\nSUCCESS\nPONG\n');
});

test('the bare verbs', async () => {
  assert.match(await say('HELP'), /RETRIEVE <id>.*QUIT/);
  const info = JSON.parse(await say('INFO'));
  assert.equal(info.server, 'be');
  assert.equal(info.ok, true);
  assert.equal(info.store.kind, 'memory');
  assert.equal(info.bytesInFlight, 0);
  assert.equal(await ask(servers.be.port, 'QUIT\nPING\n'), '');
});

const WRONG: readonly [code: string, line: string][] = [
  ['UNKNOWN_VERB', 'STORE64 aa bb'],
  ['UNKNOWN_VERB', 'store aa bb'],
  ['MISSING_FIELD', 'STORE aa'],
  ['INVALID_LINE', 'STORE aa bb cc'],
  ['INVALID_LINE', 'RETRIEVE aa bb'],
  ['INVALID_ID', 'RETRIEVE  aa'],
  ['INVALID_ID', `RETRIEVE ${'a'.repeat(4097)}`],
];

for (const [code, line] of WRONG) {
  test(`${line.slice(0, 30)} is ${code}`, async () => {
    assert.match(await say(line), new RegExp(`^ERROR ${code} `));
  });
}

test('text and frames see the same value', async () => {
  const client = new BeClient({ address: { host: '127.0.0.1', port: servers.be.port } });
  assert.equal(await say('STORE both 0102'), 'SUCCESS');
  assert.equal((await client.retrieve('both')).toString(), '0102');
  await client.store('both', Buffer.from([0, 255]));
  assert.match(await say('RETRIEVE both'), /^ERROR NOT_TEXT [^;]+; use be-client retrieve$/);
  client.close();
});

test('no hint is about the front end', async () => {
  for (const line of ['STORE a\tb c', 'RETRIEVE a\tb', 'RETRIEVE  aa']) {
    const answer = await say(line);
    assert.match(answer, /^ERROR INVALID_ID /);
    assert.doesNotMatch(answer, /1024/);
  }
  const answer = await say('STORE a b\0c');
  assert.match(answer, /^ERROR INVALID_LINE [^;]+; .*be-client/);
  assert.doesNotMatch(answer, /STORE64/);
});

test('a long record comes back whole; one over the maximum is refused', async () => {
  const long = 'ab'.repeat(200_000);
  assert.equal(await say(`STORE long ${long}`), 'SUCCESS');
  assert.equal(await say('RETRIEVE long'), long);
  const small = await startServers({ beServerConfigs: { recordBytesMax: 1000 } });
  const answer = await ask(
    small.be.port,
    `STORE aa ${'b'.repeat(1001)}\nSTORE aa ${'b'.repeat(1000)}\n`,
  );
  const endless = await ask(small.be.port, `STORE aa ${'x'.repeat(70_000)}`);
  await small.close();
  assert.match(answer, /^ERROR RECORD_TOO_LARGE [^\n]+\nSUCCESS\n$/);
  assert.match(endless, /^ERROR LINE_TOO_LONG [^;]+; [^\n]+ or be-client\n$/);
});
