/**
 * A process with a store of its own, for tests that kill or trace one.
 *
 *     node store-child.js hold|load|fill FOLDER [BODY_BYTES]
 *
 * It ends when its standard input does, that is, with the test at the latest. It prints a
 * line for each thing that happened, at once and in order: `open`, `ack N` for a put
 * that was acknowledged, `error CODE`, `read` for a read that went well.
 */
import { writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { toEncServerError } from '../../lib/errors.ts';
import { type OpenedStore, openStore } from '../../lib/store/open.ts';
import { patternBytes, recordKey, value } from './store-values.ts';

/** Puts under way at once while a child loads its store. */
const LOADERS = 8;

/** The body of put N: its name, then a pattern of its own. */
export function childBody(number: number, bodyBytes: number): Buffer {
  const body = patternBytes(bodyBytes, number);
  body.write(`MARK-${String(number).padStart(6, '0')}.`);
  return body;
}

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

/** Puts one after another, and goes on whatever happens. */
async function load(store: OpenedStore, first: number, step: number, bodyBytes: number) {
  for (let number = first; ; number += step) {
    try {
      await store.put(recordKey(number), value(childBody(number, bodyBytes)));
      say(`ack ${number}`);
    } catch (thrown) {
      say(`error ${toEncServerError(thrown).code}`);
      if (!store.health().ok) say('unhealthy');
      await delay(20);
      const isRead = await store.get(recordKey(0)).catch(() => undefined);
      if (isRead !== undefined) say('read');
    }
  }
}

async function main(): Promise<void> {
  const [mode, folder = '', bodyBytes = '1000'] = process.argv.slice(2);
  try {
    const store = await openStore({ kind: 'level', folder, spaceCheckMs: 50 });
    say('open');
    if (mode === 'hold') await delay(2 ** 31 - 1);
    const loaders = mode === 'load' ? LOADERS : 1;
    const firsts = Array.from({ length: loaders }, (_, first) => first);
    await Promise.all(firsts.map((first) => load(store, first, loaders, Number(bodyBytes))));
  } catch (thrown) {
    const error = toEncServerError(thrown);
    say(`error ${error.code} ${error.message}`);
  }
}

// The tests import `childBody` from here.
if (process.argv[1]?.endsWith('store-child.js')) {
  process.stdin.resume().once('end', () => process.exit());
  await main();
}
