import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ByteQueue } from '../../lib/protocol/byte-queue.ts';

describe('ByteQueue', () => {
  it('keeps chunks by reference', () => {
    const queue = new ByteQueue();
    const chunk = Buffer.from('a chunk of some bytes');
    queue.push(chunk);
    assert.equal(queue.take(7).buffer, chunk.buffer);
    assert.equal(queue.front().toString(), ' of some bytes');
    assert.equal(queue.copiedBytes, 0);
  });

  it('joins over chunks, and leaves what was peeked at', () => {
    const queue = new ByteQueue();
    queue.push(Buffer.alloc(600, 'a'));
    queue.push(Buffer.alloc(600, 'b'));
    assert.equal(queue.take(598).length, 598);
    assert.equal(queue.peek(4).toString(), 'aabb');
    assert.equal(queue.bytes, 602);
    assert.equal(queue.take(4).toString(), 'aabb');
    assert.equal(queue.take(598).toString(), 'b'.repeat(598));
    assert.equal(queue.front().length, 0);
  });

  it('gathers small chunks without touching what was taken before', () => {
    const queue = new ByteQueue();
    const taken: string[] = [];
    const views: Buffer[] = [];
    let next = 0;
    for (let round = 0; round < 3000; round++) {
      for (let count = round % 7; count >= 0; count--) queue.push(Buffer.from([next++ & 0xff]));
      if (round % 3 !== 0) continue;
      const view = queue.take(Math.min(queue.bytes, 5 + (round % 11)));
      views.push(view);
      taken.push(view.toString('hex'));
    }
    views.push(queue.take(queue.bytes));
    const all = Buffer.concat(views);
    assert.equal(all.length, next);
    assert.ok(all.every((byte, index) => byte === (index & 0xff)));
    assert.deepEqual(
      views.slice(0, -1).map((view) => view.toString('hex')),
      taken,
    );
  });

  it('weighs little when bytes come one at a time', () => {
    const queue = new ByteQueue();
    for (let index = 0; index < 10_000; index++) queue.push(Buffer.from([index & 0xff]));
    // The first by reference, the others in blocks of 4 KiB that are views of one memory each.
    assert.equal(queue.take(1).length, 1);
    const blocks = new Set<ArrayBufferLike>();
    while (queue.bytes > 0) {
      const front = queue.front();
      blocks.add(front.buffer);
      queue.take(front.length);
    }
    assert.equal(blocks.size, Math.ceil(9_999 / 4096));
  });

  it('lets go of chunks that were used up, even if it is never empty', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const queue = new ByteQueue();
    const chunks: WeakRef<Buffer>[] = [];
    for (let count = 0; count < 200; count++) {
      const chunk = Buffer.alloc(600);
      chunks.push(new WeakRef(chunk));
      queue.push(chunk);
      if (count > 0) queue.take(600);
    }
    // A WeakRef holds its target until the current turn of the event loop is over.
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    const held = chunks.filter((chunk) => chunk.deref() !== undefined).length;
    assert.ok(held < 100, `${held} of 200 chunks are held`);
    assert.equal(queue.bytes, 600);
  });

  it('lets go of everything', () => {
    const queue = new ByteQueue();
    queue.push(Buffer.from('abc'));
    queue.push(Buffer.from('def'));
    queue.clear();
    assert.equal(queue.bytes, 0);
    queue.push(Buffer.from('x'));
    queue.push(Buffer.from('y'));
    assert.equal(queue.take(2).toString(), 'xy');
  });
});
