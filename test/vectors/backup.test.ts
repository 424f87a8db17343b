/** `docs/BACKUP.md`: the vectors, and what is refused. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import {
  decodeHeader,
  decodeItems,
  encodeEnd,
  encodeItem,
  streamKeyOf,
} from '../../lib/backup/format.ts';
import { CHUNK_BYTES, openStream, StreamSealer } from '../../lib/crypto/stream.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { readVectors } from '../helpers/vectors.ts';

const KEY = Buffer.from(Array.from({ length: 32 }, (_none, index) => index));
const SEALED_CHUNK = CHUNK_BYTES + 16;

function sealWhole(key: Buffer, text: Buffer, partBytes = 10_000): Buffer {
  const sealer = new StreamSealer(key);
  const parts: Buffer[] = [];
  for (let at = 0; at < text.length; at += partBytes) {
    parts.push(sealer.add(text.subarray(at, at + partBytes)));
  }
  return Buffer.concat([...parts, sealer.end()]);
}

async function* inParts(bytes: Buffer, partBytes = 7_777): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += partBytes) yield bytes.subarray(at, at + partBytes);
}

async function openWhole(key: Buffer, sealed: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of openStream(key, inParts(sealed))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

for (const vector of readVectors('BACKUP.md', 'stream')) {
  it(`stream: ${vector.title}`, async () => {
    const [key, text] = [vector.bytes('key'), vector.bytes('text')];
    const sealed = sealWhole(key, text);
    if (vector.has('sealed')) assert.ok(sealed.equals(vector.bytes('sealed')));
    else {
      assert.equal(sealed.length, vector.number('sealed-bytes'));
      const digest = createHash('sha256').update(sealed).digest();
      assert.ok(digest.equals(vector.bytes('sealed-sha256')));
    }
    assert.ok((await openWhole(key, sealed)).equals(text));
  });
}

for (const vector of readVectors('BACKUP.md', 'backup')) {
  it(`backup: ${vector.title}`, async () => {
    const header = vector.bytes('header');
    assert.equal(decodeHeader(header).store, 'level');
    const key = streamKeyOf(vector.bytes('backup-key'), header);
    assert.ok(key.equals(vector.bytes('stream-key')));
    const items = [];
    for await (const item of decodeItems(openStream(key, inParts(vector.bytes('sealed'))))) {
      items.push(item);
    }
    assert.equal(items.length, 1);
    const text = Buffer.concat([...items.map(encodeItem), encodeEnd(1)]);
    assert.ok(text.equals(vector.bytes('text')));
    assert.equal(`${items[0]?.body}`, 'body!');
  });
}

describe('a stream that was changed is refused:', () => {
  const text = randomBytes(3 * CHUNK_BYTES + 100);
  const sealed = sealWhole(KEY, text);
  const chunk = (index: number) =>
    sealed.subarray(index * SEALED_CHUNK, (index + 1) * SEALED_CHUNK);
  const changes: Record<string, Buffer> = {
    'cut in a chunk': sealed.subarray(0, -1),
    'cut between chunks': sealed.subarray(0, 2 * SEALED_CHUNK),
    'without its last chunk': sealed.subarray(0, 3 * SEALED_CHUNK),
    'without its first chunk': sealed.subarray(SEALED_CHUNK),
    'two chunks swapped': Buffer.concat([chunk(1), chunk(0), chunk(2), chunk(3)]),
    'a chunk doubled': Buffer.concat([chunk(0), chunk(0), chunk(1), chunk(2), chunk(3)]),
    'a byte more': Buffer.concat([sealed, Buffer.of(0)]),
    'an empty last chunk': Buffer.concat([sealed, sealWhole(KEY, Buffer.alloc(0))]),
    'nothing at all': Buffer.alloc(0),
  };
  for (const [what, changed] of Object.entries(changes)) {
    it(what, async () => {
      await rejectsWith(openWhole(KEY, changed), 'ALTERED');
    });
  }
  it('any bit', async () => {
    for (let at = 0; at < sealed.length; at += 9_973) {
      const flipped = Buffer.from(sealed);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 1, at);
      await rejectsWith(openWhole(KEY, flipped), 'ALTERED');
    }
  });
});

describe('items that are not as they were written are refused:', () => {
  const item = {
    key: Buffer.of(1, 2),
    head: KEY,
    revision: KEY.subarray(0, 8),
    expiryMs: 0,
    body: KEY,
  };
  const whole = Buffer.concat([encodeItem(item), encodeItem(item), encodeEnd(2)]);
  const read = async (text: Buffer) => {
    let count = 0;
    for await (const _item of decodeItems(inParts(text, 3))) count++;
    return count;
  };
  it('but whole ones are not', async () => assert.equal(await read(whole), 2));
  for (const [what, text] of Object.entries({
    'another count': Buffer.concat([encodeItem(item), encodeEnd(2)]),
    'no end': encodeItem(item),
    'an item after the end': Buffer.concat([whole, encodeItem(item)]),
    'an unknown type': Buffer.concat([Buffer.of(9), whole]),
    cut: whole.subarray(0, -1),
  })) {
    it(what, async () => {
      await rejectsWith(read(text), 'ALTERED');
    });
  }
});
