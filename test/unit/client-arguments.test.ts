/** What the client libraries refuse before anything is sent: nobody listens where they call. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { rejectsWith } from '../helpers/codes.ts';

const address = { host: '127.0.0.1', port: 1 };
const fe = new FeClient({ address });
const be = new BeClient({ address });
after(() => {
  fe.close();
  be.close();
});

/** What plain JavaScript passes, whatever the types say. */
const any = (value: unknown) => value as never;

describe('half a surrogate pair', () => {
  const half = '\ud800';
  const record = Buffer.from('x');

  it('is no text of an ID, a namespace, a type or a record', async () => {
    await rejectsWith(fe.store(half, record), 'INVALID_ID');
    await rejectsWith(fe.retrieve(half, Buffer.alloc(32, 1)), 'INVALID_ID');
    await rejectsWith(fe.delete('a', { namespace: half }), 'INVALID_NAMESPACE');
    await rejectsWith(fe.store('a', record, { contentType: half }), 'INVALID_FIELD');
    await rejectsWith(fe.store('a', any(half)), 'INVALID_RECORD');
    await rejectsWith(fe.batch([{ op: 'delete', id: half }]), 'INVALID_ID');
  });

  it('is no text of a token', async () => {
    await rejectsWith(be.store(half, record), 'INVALID_ID');
    await rejectsWith(be.retrieve(half), 'INVALID_ID');
  });
});

it('an operation or a condition that does not exist is no DELETE and no "always"', async () => {
  const key = Buffer.alloc(32, 1);
  await rejectsWith(fe.batch([any({ op: 'get', id: 'a', key })]), 'INVALID_FIELD');
  const value = { head: Buffer.alloc(0), body: Buffer.of(1), expiryMs: 0 };
  await rejectsWith(be.put(Buffer.alloc(27), value, any({ kind: 'missing' })), 'INVALID_FIELD');
  await rejectsWith(be.remove(Buffer.alloc(27), any({})), 'INVALID_FIELD');
});

it('what is no bytes is no record and no token', async () => {
  for (const record of [5, [1, 2], new Uint16Array(2), new ArrayBuffer(2), undefined, null]) {
    await rejectsWith(be.store('n', any(record)), 'INVALID_RECORD');
    await rejectsWith(be.storeIfAbsent('n', any(record)), 'INVALID_RECORD');
    await rejectsWith(fe.store('n', any(record)), 'INVALID_RECORD');
  }
  await rejectsWith(be.store(any(3), Buffer.of(1)), 'INVALID_ID');
  await rejectsWith(be.scan(any('x'.repeat(3)), any([1]), 1), 'INVALID_RECORD');
});

it('options without an address or a connection say so at once', () => {
  const refused = { name: 'EncServerError', code: 'INVALID_FIELD' };
  for (const options of [{}, { address: 'here:1' }, { address, connections: 0 }]) {
    assert.throws(() => new FeClient(any(options)), refused);
  }
  for (const options of [{}, { address, bulkConnections: 0.5 }]) {
    assert.throws(() => new BeClient(any(options)), refused);
  }
});
