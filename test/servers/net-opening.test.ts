import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { connect as http2Connect } from 'node:http2';
import { after, before, test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import { OPCODE } from '../../lib/protocol/messages.ts';
import { type Listening, startListening } from '../helpers/listening.ts';
import { ask, frameOf, framesIn, Wire } from '../helpers/wire.ts';

let listening: Listening;
before(async () => {
  listening = await startListening();
});
after(() => listening.close());

/** Sends an opening in two packets, cut at every byte, and ends it. */
async function askCut(opening: Buffer, check: (answer: Buffer) => void): Promise<void> {
  for (let at = 1; at < opening.length; at++) {
    const wire = await Wire.open(listening.port);
    await wire.sendAlone(opening.subarray(0, at));
    wire.send(opening.subarray(at));
    wire.end();
    check(await wire.rest());
    wire.close();
  }
}

test('frames are told, cut at every byte', async () => {
  await askCut(frameOf(OPCODE.PING, 9, [], 'hi'), (answer) => {
    const [frame] = framesIn(answer);
    assert.equal(frame?.requestId, 9);
    assert.equal(frame?.body.toString(), 'hi');
  });
});

for (const line of ['STORE a b', 'DELETE x', 'store a', 'PING\r', 'DELETE a HTTP/1.1 b']) {
  test(`a text line is told, cut at every byte: ${JSON.stringify(line)}`, async () => {
    await askCut(Buffer.from(`${line}\n`), (answer) => {
      assert.equal(answer.toString(), `${line.replace('\r', '')}\n`);
    });
  });
}

test('the end of input counts as the end of the line', async () => {
  assert.equal(await ask(listening.port, 'PING'), 'PING\n');
  assert.equal(await ask(listening.port, 'DELETE x'), 'DELETE x\n');
});

test('a bare line end is text', async () => {
  assert.equal(await ask(listening.port, '\r\nPING\n'), '\nPING\n');
});

test('who says nothing and ends is closed without a word', async () => {
  assert.equal(await ask(listening.port, ''), '');
});

test('an HTTP request is refused in HTTP, cut at every byte', async () => {
  await askCut(Buffer.from('DELETE /records/61 HTTP/1.1\r\n\r\n'), (answer) => {
    assert.match(answer.toString(), /^HTTP\/1\.1 501 .*\r\n\r\n\{.*UNSUPPORTED_DIALECT.*\}$/s);
  });
});

test("node's HTTP client understands the refusal", async () => {
  const { port } = listening;
  const answer = await new Promise<{ status: number | undefined; type: unknown; body: string }>(
    (resolve, reject) => {
      const sent = httpRequest(
        { port, host: '127.0.0.1', method: 'POST', path: '/data' },
        (reply) => {
          let body = '';
          reply.on('data', (chunk) => {
            body += chunk;
          });
          const { statusCode: status, headers } = reply;
          reply.on('end', () => resolve({ status, type: headers['content-type'], body }));
        },
      );
      sent.on('error', reject);
      sent.end('{"id": 1, "data": "x"}');
    },
  );
  assert.equal(answer.status, 501);
  assert.equal(answer.type, 'application/problem+json');
  const problem = JSON.parse(answer.body);
  assert.equal(problem.code, 'UNSUPPORTED_DIALECT');
  assert.equal(problem.title, 'HTTP is not spoken here');
});

test("node's HTTP/2 client understands the GOAWAY", async () => {
  const session = http2Connect(`http://127.0.0.1:${listening.port}`);
  session.on('error', () => undefined);
  const [code, words] = await new Promise<[number, string]>((resolve) => {
    session.on('goaway', (errorCode, _lastStream, data) => {
      resolve([errorCode, Buffer.from(data ?? '').toString()]);
    });
  });
  session.destroy();
  assert.equal(code, 0x0d);
  assert.match(words, /^HTTP\/2 is not spoken here; /);
});

test("node's TLS client understands the alert", async () => {
  const socket = tlsConnect({ port: listening.port, host: '127.0.0.1' });
  const error = await new Promise<NodeJS.ErrnoException>((resolve) => {
    socket.on('error', resolve);
  });
  assert.match(`${error.code}`, /HANDSHAKE_FAILURE/);
});

for (const bytes of [' STORE alice x\n', '{"id": 1}\n', '\xff\xfe', 'SEVENTEEN-letters x']) {
  test(`what is no dialect is refused in words: ${JSON.stringify(bytes)}`, async () => {
    const answer = await ask(listening.port, Buffer.from(bytes, 'latin1'));
    assert.match(answer, /^ERROR UNKNOWN_DIALECT [^\n]+; [^\n]+\n$/);
    assert.doesNotMatch(answer, /alice|id/);
  });
}

test('a line that does not end is text after 4096 bytes, and goes on as text', async () => {
  const line = `DELETE ${'x'.repeat(10_000)}`;
  const wire = await Wire.open(listening.port);
  for (let at = 0; at < line.length; at += 1000) await wire.sendAlone(line.slice(at, at + 1000));
  wire.send('\n');
  assert.equal(await wire.line(), line);
  wire.close();
});

test('half a verb and then silence ends in words, and the connection is gone', async () => {
  const quick = await startListening({ limits: { firstByteTimeoutMs: 30 } });
  const wires = [await Wire.open(quick.port), await Wire.open(quick.port)];
  wires[0]?.send('DELE');
  for (const wire of wires) {
    // Our side stays open: the server must not wait for it.
    assert.match((await wire.rest()).toString(), /^ERROR TIMEOUT the first line [^\n]+\n$/);
  }
  const [first] = wires;
  await new Promise((resolve) => first?.socket.resume().on('close', resolve).end());
  for (const wire of wires) wire.close();
  await quick.close();
});

test('the server frees a silent connection also when its client never closes', async () => {
  const quick = await startListening({ limits: { firstByteTimeoutMs: 20 } });
  const wire = await Wire.open(quick.port);
  wire.send('DELE');
  assert.match(await wire.line(), /^ERROR TIMEOUT/);
  const closedByServer = new Promise((resolve) => wire.socket.on('error', resolve));
  const gone = (async () => {
    while (quick.listener.connectionCount > 0) await new Promise((r) => setTimeout(r, 20));
  })();
  await gone;
  wire.socket.write('x');
  wire.socket.write('y');
  await Promise.race([closedByServer, new Promise((resolve) => wire.socket.on('close', resolve))]);
  await quick.close();
});
