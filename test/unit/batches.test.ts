/** A batch whose item meets a defect of the server, and one whose items are many. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import pino from 'pino';
import { doBatch } from '../../lib/fe/batches.ts';
import { RequestContext } from '../../lib/net/request.ts';
import { OWN_SESSION } from '../../lib/net/session.ts';
import { Traffic } from '../../lib/net/traffic.ts';

it('a defect in one item is logged with its trace, and spoils no other', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'error' }, { write: (line: string) => lines.push(line) });
  const context = new RequestContext(OWN_SESSION, 60_000);
  const outcomes = await doBatch(
    ['good', 'bad'],
    () => 'other',
    async (item) => {
      if (item === 'bad') throw new TypeError('a defect');
      return item;
    },
    { dialect: 'http', traffic: new Traffic(1), context, log },
  );
  const [good, bad] = outcomes;
  assert.deepEqual(good, { done: 'good' });
  assert.ok(bad !== undefined && 'error' in bad && bad.error.code === 'INTERNAL');
  assert.equal(lines.length, 1);
  const line = JSON.parse(lines[0] ?? '');
  assert.deepEqual([line.level, line.traceId], [50, context.trace.toString('hex')]);
});

it('many items that wait on one request are no leak that Node warns of', async () => {
  const warnings: string[] = [];
  const note = ({ name }: Error) => warnings.push(name);
  process.on('warning', note);
  const { signal } = new RequestContext(OWN_SESSION, 60_000);
  for (let item = 0; item < 64; item++) signal.addEventListener('abort', () => item);
  await setImmediate();
  process.off('warning', note);
  assert.deepEqual(warnings, []);
});
