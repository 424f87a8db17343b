import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Budget, type Room, type RoomWait } from '../../lib/net/budget.ts';
import { rejectsWith } from '../helpers/codes.ts';

const LONG_MS = 60_000;

function wait(timeoutMs = LONG_MS, signal = new AbortController().signal): RoomWait {
  return { deadlineMs: performance.now() + timeoutMs, signal };
}

/** Reserves, and writes its name down once it has its room. */
function asker(budget: Budget, order: string[]) {
  return (name: string, bytes: number, held?: Room) => {
    if (budget.reserve(bytes, () => order.push(name), held)) order.push(name);
  };
}

test('room is given while there is some, and given back', () => {
  const budget = new Budget(100);
  const order: string[] = [];
  const reserve = asker(budget, order);
  reserve('a', 60);
  reserve('b', 40);
  reserve('c', 1);
  assert.deepEqual(order, ['a', 'b']);
  assert.equal(budget.inUseBytes, 100);
  budget.release(60);
  assert.deepEqual(order, ['a', 'b', 'c']);
  budget.release(41);
  assert.equal(budget.inUseBytes, 0);
});

test('who waits first is served first, so that the small do not starve the large', () => {
  const budget = new Budget(100);
  const order: string[] = [];
  const reserve = asker(budget, order);
  reserve('first', 50);
  reserve('large', 90);
  reserve('small', 10);
  assert.deepEqual(order, ['first']);
  budget.release(50);
  assert.deepEqual(order, ['first', 'large', 'small']);
});

test('what is larger than all there is goes through alone', () => {
  const budget = new Budget(100);
  const order: string[] = [];
  const reserve = asker(budget, order);
  reserve('small', 10);
  reserve('huge', 1_000);
  reserve('next', 10);
  budget.release(10);
  assert.deepEqual(order, ['small', 'huge']);
  budget.release(1_000);
  assert.deepEqual(order, ['small', 'huge', 'next']);
});

test('those who hold something while they wait do not wait for each other for ever', async () => {
  const budget = new Budget(100);
  const order: string[] = [];
  const reserve = asker(budget, order);
  budget.count(30);
  budget.count(30);
  reserve('a', 80, { budget, bytes: 30 });
  assert.deepEqual(order, []);
  reserve('b', 80, { budget, bytes: 30 });
  await turn();
  assert.deepEqual(order, ['a'], 'all that is in use is held by those who wait');
  budget.release(110);
  assert.deepEqual(order, ['a', 'b']);
  budget.release(110);
  assert.equal(budget.inUseBytes, 0);
});

test('what a batch holds is there once, at however many places it waits', async () => {
  const budget = new Budget(100);
  const order: string[] = [];
  const reserve = asker(budget, order);
  const held = { budget, bytes: 40 };
  budget.count(40);
  budget.count(50);
  for (const name of ['a', 'b', 'c']) reserve(name, 30, held);
  await turn();
  assert.deepEqual(order, [], 'somebody else is at work, and will give back 50');
  budget.release(50);
  assert.deepEqual(order, ['a', 'b']);
  budget.release(60);
  assert.deepEqual(order, ['a', 'b', 'c']);
  budget.release(70);
  assert.equal(budget.inUseBytes, 0);
});

test('the only one in the process does not wait for itself', () => {
  const budget = new Budget(100);
  budget.count(10);
  assert.equal(
    budget.reserve(200, () => assert.fail(), { budget, bytes: 10 }),
    true,
  );
});

test('who is forgotten lets the next one through', () => {
  const budget = new Budget(100);
  const order: string[] = [];
  const gone = () => order.push('gone');
  const reserve = asker(budget, order);
  reserve('first', 50);
  assert.equal(budget.reserve(90, gone), false);
  reserve('small', 10);
  budget.forget(gone);
  budget.forget(gone);
  assert.deepEqual(order, ['first', 'small']);
  budget.release(60);
  assert.equal(budget.inUseBytes, 0);
});

test('a request waits no longer than its deadline', async () => {
  const budget = new Budget(100);
  budget.count(100);
  await rejectsWith(budget.reserved(50, wait(10)), 'OVERLOADED');
  assert.equal(budget.inUseBytes, 100);
  budget.release(100);
  assert.equal(budget.inUseBytes, 0, 'nothing was granted to who had gone');
});

test('a request that is taken back waits no longer', async () => {
  const budget = new Budget(100);
  budget.count(100);
  const caller = new AbortController();
  const waiting = budget.reserved(50, wait(LONG_MS, caller.signal));
  caller.abort();
  await rejectsWith(waiting, 'CANCELLED');
  await rejectsWith(budget.reserved(50, wait(LONG_MS, caller.signal)), 'CANCELLED');
  budget.release(100);
  assert.equal(budget.inUseBytes, 0);
});

test('a request gets the room that comes in time', async () => {
  const budget = new Budget(100);
  budget.count(100);
  const waiting = budget.reserved(50, wait());
  budget.release(100);
  await waiting;
  assert.equal(budget.inUseBytes, 50);
  await budget.reserved(50, wait());
  assert.equal(budget.inUseBytes, 100);
});

test('ten thousand who give back as soon as they are let through need no deep stack', () => {
  const budget = new Budget(10);
  budget.count(10);
  let served = 0;
  for (let i = 0; i < 10_000; i++) {
    budget.reserve(10, () => {
      served++;
      budget.release(10);
    });
  }
  budget.release(10);
  assert.equal(served, 10_000);
  assert.equal(budget.inUseBytes, 0);
});
