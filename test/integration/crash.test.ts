/** kill -9 of everything while clients store: what was acknowledged is there afterwards. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FeClient } from '../../lib/fe/client.ts';
import { startUp, until } from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

const ROUNDS = 3;
const CALLERS = 16;
/** From the first answer until all is killed, in milliseconds. */
const LOAD_MS_MAX = 400;

interface Acknowledged {
  readonly id: string;
  readonly key: Buffer;
  readonly record: Buffer;
}

function clientOf(port: number): FeClient {
  return new FeClient({ address: { host: '127.0.0.1', port }, connections: 2, attemptsMax: 1 });
}

/** Stores until it fails, which it does when the server is gone. */
async function storeOn(client: FeClient, name: string, done: Acknowledged[]): Promise<void> {
  for (let number = 0; ; number++) {
    const id = `${name}-${number}`;
    const record = Buffer.alloc(1 + ((number * 977) % 5000), number);
    try {
      const { key } = await client.store(id, record);
      done.push({ id, key, record });
    } catch {
      return;
    }
  }
}

describe('kill -9 of everything under load', () => {
  it('loses nothing that was acknowledged', async (t) => {
    const folder = await temporaryFolder();
    const done: Acknowledged[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      const up = await startUp(folder);
      const client = clientOf(up.fePort);
      const before = done.length;
      const callers = Array.from({ length: CALLERS }, (_, caller) =>
        storeOn(client, `${round}-${caller}`, done),
      );
      await until('an answer', () => done.length > before || undefined);
      const loadMs = randomInt(LOAD_MS_MAX);
      await delay(loadMs);
      await up.killAll();
      await Promise.all(callers);
      client.close();
      t.diagnostic(
        `round ${round}: ${done.length - before} acknowledged, ${loadMs} ms after the first`,
      );
    }
    const up = await startUp(folder);
    const client = clientOf(up.fePort);
    try {
      for (const { id, key, record } of done) {
        const found = await client.retrieve(id, key);
        assert.ok(found.record.equals(record), id);
      }
    } finally {
      client.close();
      await up.killAll();
      await rm(folder, { recursive: true });
    }
  });
});
