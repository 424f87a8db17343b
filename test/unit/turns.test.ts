import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Turns } from '../../lib/fe/turns.ts';

const PATIENT = { remainingMs: 600_000 };
const HURRIED = { remainingMs: 1 };
const NAME = { namespace: Buffer.from('ab'), id: Buffer.from('c') };
const NEIGHBOUR = { namespace: Buffer.from('a'), id: Buffer.from('bc') };

/** Lets everything run that waits for nothing. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('the turn of a name', () => {
  it('makes those wait that write it later, and nobody else', async () => {
    const turns = new Turns();
    const turn = turns.of(NAME, PATIENT);
    assert.equal(turns.pass(NAME, PATIENT), undefined);
    await turn.take();
    assert.equal(turns.pass(NEIGHBOUR, PATIENT), undefined);
    const order: string[] = [];
    const passing = turns.pass(NAME, PATIENT)?.then(() => order.push('passed'));
    await settled();
    order.push('ended');
    turn.end();
    await passing;
    assert.deepEqual(order, ['ended', 'passed']);
    await settled();
    assert.equal(turns.pass(NAME, PATIENT), undefined);
  });

  it('is taken by one after the other', async () => {
    const turns = new Turns();
    const order: number[] = [];
    const all = [0, 1, 2].map(async (index) => {
      const turn = turns.of(NAME, PATIENT);
      await turn.take();
      order.push(index);
      await settled();
      order.push(index);
      turn.end();
    });
    await Promise.all(all);
    assert.deepEqual(order, [0, 0, 1, 1, 2, 2]);
  });

  it('is waited for no longer than a request may take', async () => {
    const turns = new Turns();
    const [first, second] = [turns.of(NAME, PATIENT), turns.of(NAME, HURRIED)];
    await first.take();
    await turns.pass(NAME, HURRIED);
    await second.take();
    second.end();
    // The first still has it.
    await settled();
    assert.notEqual(turns.pass(NAME, HURRIED), undefined);
    first.end();
    await settled();
    assert.equal(turns.pass(NAME, PATIENT), undefined);
  });

  it('needs not be taken to be ended', () => {
    const turns = new Turns();
    turns.of(NAME, PATIENT).end();
    assert.equal(turns.pass(NAME, PATIENT), undefined);
  });
});
