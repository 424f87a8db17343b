/** W3C Trace Context, Level 1, section 3.2: the header, and what of it reaches both logs. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { Metadata } from '@grpc/grpc-js';
import { openLog } from '../../lib/log.ts';
import { bytesField } from '../../lib/protocol/fields.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { parseTraceparent } from '../../lib/protocol/traceparent.ts';
import { GrpcClient } from '../helpers/grpc.ts';
import { http, RawHttp } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';
import { until, Wire } from '../helpers/wire.ts';

/** The examples of the specification. */
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const HEADER = `00-${TRACE}-${PARENT}-01`;

describe('traceparent', () => {
  it('is version, trace, span and flags', () => {
    const sampled = parseTraceparent(HEADER);
    assert.equal(sampled?.trace.toString('hex'), TRACE);
    assert.equal(sampled?.span.toString('hex'), `${PARENT}01`);
    const not = parseTraceparent(`00-${TRACE}-${PARENT}-00`);
    assert.equal(not?.span.toString('hex'), `${PARENT}00`);
  });

  it('has flags of which only the known one is passed on', () => {
    for (const [flags, kept] of [
      ['ff', '01'],
      ['fe', '00'],
      ['09', '01'],
    ] as const) {
      const parsed = parseTraceparent(`00-${TRACE}-${PARENT}-${flags}`);
      assert.equal(parsed?.span.toString('hex'), `${PARENT}${kept}`);
    }
  });

  it('may be of a later version, which may have more behind another -', () => {
    for (const more of ['', '-', '-what-the-future-will-be-like']) {
      const parsed = parseTraceparent(`cc-${TRACE}-${PARENT}-01${more}`);
      assert.equal(parsed?.trace.toString('hex'), TRACE, more);
    }
  });

  const INVALID: Readonly<Record<string, string>> = {
    nothing: '',
    'a version that is forbidden': `ff-${TRACE}-${PARENT}-01`,
    'a version of one digit': `0-${TRACE}-${PARENT}-01`,
    'a version of three digits': `000-${TRACE}-${PARENT}-01`,
    'a version that is no number': `.0-${TRACE}-${PARENT}-01`,
    'more than version 00 has': `${HEADER}-more`,
    'a - at the end of version 00': `${HEADER}-`,
    'a later version with more, but not behind a -': `cc-${TRACE}-${PARENT}-01.what`,
    'a trace of zeros': `00-${'0'.repeat(32)}-${PARENT}-01`,
    'a trace in capitals': `00-${TRACE.toUpperCase()}-${PARENT}-01`,
    'a trace that is too short': `00-${TRACE.slice(1)}-${PARENT}-01`,
    'a trace that is too long': `00-${TRACE}0-${PARENT}-01`,
    'a trace that is no number': `00-.${TRACE.slice(1)}-${PARENT}-01`,
    'a span of zeros': `00-${TRACE}-${'0'.repeat(16)}-01`,
    'a span that is too short': `00-${TRACE}-${PARENT.slice(1)}-01`,
    'a span that is no number': `00-${TRACE}-.${PARENT.slice(1)}-01`,
    'flags of one digit': `00-${TRACE}-${PARENT}-1`,
    'flags that are no number': `00-${TRACE}-${PARENT}-.0`,
    'flags in capitals': `00-${TRACE}-${PARENT}-0A`,
    'spaces inside': `00- ${TRACE}-${PARENT}-01`,
    'two of them': `${HEADER}, ${HEADER}`,
    'more than anybody needs': `cc-${TRACE}-${PARENT}-01-${'x'.repeat(1_000)}`,
  };
  for (const [what, text] of Object.entries(INVALID)) {
    it(`is invalid: ${what}`, () => assert.equal(parseTraceparent(text), undefined));
  }
});

interface Line {
  readonly dialect?: string;
  readonly operation?: string;
  readonly outcome?: string;
  readonly traceId?: string;
  readonly spanId?: string;
  readonly parentSpanId?: string;
}

describe('the trace of a request', () => {
  const lines: Line[] = [];
  const log = openLog({
    program: 'feserver',
    dir: '',
    fileBytesMax: 0,
    filesMax: 0,
    stdout: true,
    level: 'debug',
    stdoutStream: new PassThrough().on('data', (text) => {
      for (const line of String(text).trimEnd().split('\n')) lines.push(JSON.parse(line));
    }),
  });
  let servers: TestServers;

  before(async () => {
    servers = await startServers({}, log.log);
  });
  after(async () => {
    await servers.close();
    await log.close();
  });

  /** The line of the request that the caller sent, and that of the one which the back end got. */
  async function linesOf(act: () => Promise<unknown>, asked: string): Promise<[Line, Line]> {
    lines.length = 0;
    await act();
    const find = (operation: string) => lines.find((line) => line.operation === operation);
    await until(async () => find(asked) !== undefined && find('put') !== undefined);
    return [find(asked) as Line, find('put') as Line];
  }

  function checkChain([fe, be]: [Line, Line]): void {
    assert.equal(fe.outcome, 'ok');
    assert.equal(fe.traceId, TRACE);
    assert.equal(fe.parentSpanId, PARENT);
    assert.match(fe.spanId ?? '', /^[0-9a-f]{16}$/);
    assert.notEqual(fe.spanId, PARENT);
    assert.equal(be.traceId, TRACE);
    assert.equal(be.parentSpanId, fe.spanId);
    assert.match(be.spanId ?? '', /^[0-9a-f]{16}$/);
    assert.notEqual(be.spanId, fe.spanId);
  }

  const put = (headers: object) =>
    http(servers.fe.port, 'PUT', '/v1/records/a', { headers: { ...headers }, body: 'hi' });

  it('goes from HTTP to both logs, each server with a span of its own', async () => {
    checkChain(await linesOf(() => put({ traceparent: HEADER }), 'store'));
    const json = { 'Content-Type': 'application/json', traceparent: HEADER };
    const batch = { items: [{ op: 'store', id: 'b', record: 'aGk=' }] };
    const call = { headers: json, body: JSON.stringify(batch) };
    checkChain(await linesOf(() => http(servers.fe.port, 'POST', '/v1/batch', call), 'batch'));
  });

  it('goes from gRPC to both logs', async () => {
    const fe = new GrpcClient(servers.fe.port, 'encserver.v1.FrontendService');
    const metadata = new Metadata();
    metadata.set('traceparent', HEADER);
    const request = { id: Buffer.from('a'), record: Buffer.from('hi') };
    checkChain(await linesOf(() => fe.call('Store', request, { metadata }), 'store'));
    metadata.add('traceparent', HEADER);
    const [twice] = await linesOf(() => fe.call('Store', request, { metadata }), 'store');
    assert.notEqual(twice.traceId, TRACE);
    fe.close();
  });

  it('goes from frames to both logs', async () => {
    const wire = await Wire.open(servers.fe.port);
    const id = bytesField(FIELD.ID, Buffer.from('a'));
    const trace = bytesField(FIELD.TRACE, Buffer.from(TRACE, 'hex'));
    const span = bytesField(FIELD.SPAN, Buffer.from(`${PARENT}01`, 'hex'));
    const store = (...fields: (typeof id)[]) => {
      wire.request(OPCODE.STORE, 1, [id, ...fields], 'hi');
      return wire.frame();
    };
    checkChain(await linesOf(() => store(trace, span), 'store'));
    // A span of no trace means nothing.
    const [fe, be] = await linesOf(() => store(span), 'store');
    assert.equal(fe.traceId, be.traceId);
    assert.equal(fe.parentSpanId ?? be.parentSpanId, undefined);
    wire.close();
  });

  it('is one of its own where none is named, or an invalid one, and has no span then', async () => {
    const seen = new Set([TRACE]);
    const invalid = [{}, { traceparent: 'x' }, { traceparent: HEADER.toUpperCase() }];
    for (const headers of invalid) {
      const [fe, be] = await linesOf(() => put(headers), 'store');
      assert.match(fe.traceId ?? '', /^[0-9a-f]{32}$/);
      assert.equal(fe.traceId, be.traceId);
      assert.equal(fe.spanId ?? fe.parentSpanId ?? be.spanId ?? be.parentSpanId, undefined);
      seen.add(fe.traceId ?? '');
    }
    assert.equal(seen.size, 1 + invalid.length);
  });

  it('is named twice: neither counts', async () => {
    const [fe] = await linesOf(async () => {
      const raw = new RawHttp(servers.fe.port);
      const twice = `traceparent: ${HEADER}\r\n`.repeat(2);
      raw.write(
        `PUT /v1/records/a HTTP/1.1\r\nHost: localhost\r\n${twice}Content-Length: 0\r\n\r\n`,
      );
      await raw.saw(/^HTTP\/1\.1 20/);
      raw.destroy();
    }, 'store');
    assert.notEqual(fe.traceId, TRACE);
  });

  it('reaches the back end from its own gRPC callers', async () => {
    const be = new GrpcClient(servers.be.port, 'service.BackendService');
    const metadata = new Metadata();
    metadata.set('traceparent', HEADER);
    lines.length = 0;
    await be.call('StoreRecord', { id: '61', data: '62' }, { metadata });
    await until(async () => lines.some(({ dialect }) => dialect === 'grpc'));
    const line = lines.find(({ dialect }) => dialect === 'grpc');
    assert.equal(line?.traceId, TRACE);
    assert.equal(line?.parentSpanId, PARENT);
    be.close();
  });
});
