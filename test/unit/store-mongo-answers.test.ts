/** Commands that the driver never answers: `lib/store/mongo-answers.ts`. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { MongoClient } from 'mongodb';
import { MongoAnswers } from '../../lib/store/mongo-answers.ts';

const NEVER = new Promise<never>(() => undefined);
const EVENT = {} as never;

describe('a command to MongoDB', () => {
  let client: MongoClient;
  let lost: number;
  let answers: MongoAnswers;
  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout'] });
    client = new MongoClient('mongodb://127.0.0.1:1');
    lost = 0;
    answers = new MongoAnswers(client, () => {
      lost++;
    });
  });
  afterEach(async () => {
    mock.timers.reset();
    await client.close();
  });

  const outcomeOf = (command: Promise<unknown>) =>
    answers.answered(command).then(
      (value) => value,
      (error: Error) => error.message,
    );

  it('is answered as the driver answers it', async () => {
    assert.equal(await outcomeOf(Promise.resolve(7)), 7);
    assert.equal(await outcomeOf(Promise.reject(new Error('refused'))), 'refused');
    mock.timers.tick(60_000);
    assert.equal(lost, 0);
  });

  it('is given up after a long time without an answer', async () => {
    const outcome = outcomeOf(NEVER);
    mock.timers.tick(21_000);
    assert.equal(lost, 0);
    mock.timers.tick(2_000);
    assert.equal(await outcome, 'MongoDB gave no answer');
    assert.equal(lost, 1);
  });

  for (const event of ['connectionPoolCleared', 'serverHeartbeatFailed'] as const) {
    it(`is given up soon after ${event}; one that comes later is not`, async () => {
      const outcome = outcomeOf(NEVER);
      client.emit(event, EVENT);
      const later = outcomeOf(NEVER);
      mock.timers.tick(4_000);
      assert.equal(await outcome, 'MongoDB gave no answer');
      assert.equal(await Promise.race([later, Promise.resolve('open')]), 'open');
      assert.equal(lost, 1);
    });

    it(`is not given up after ${event} of a server that is not asked`, async () => {
      const [primary, secondary] = ['a:1', 'b:1'];
      const see = (isUp: boolean) => {
        const servers = new Map([
          [primary, { address: primary, isWritable: isUp }],
          [secondary, { address: secondary, isWritable: false }],
        ]);
        client.emit('topologyDescriptionChanged', { newDescription: { servers } } as never);
      };
      see(true);
      const outcome = outcomeOf(NEVER);
      client.emit(event, { address: secondary, connectionId: secondary } as never);
      mock.timers.tick(4_000);
      assert.equal(lost, 0);
      see(false);
      client.emit(event, { address: primary, connectionId: primary } as never);
      mock.timers.tick(4_000);
      assert.equal(await outcome, 'MongoDB gave no answer');
      assert.equal(lost, 1);
    });
  }
});
