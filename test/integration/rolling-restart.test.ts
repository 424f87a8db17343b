/** Both servers are restarted one after the other, and callers who ask again see no error. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { drawKey, FeClient } from '../../lib/fe/client.ts';
import { ServerProcess } from '../faults/servers.ts';
import { temporaryFolder } from '../helpers/servers.ts';

const DIST = fileURLToPath(new URL('../..', import.meta.url));
const CALLERS = 8;
const RESTARTS = 3;

test('a rolling restart of either server is seen by no caller', async () => {
  const folder = await temporaryFolder();
  const be = new ServerProcess(DIST, 'be', ['--data-dir', folder], {});
  await be.start();
  const fe = new ServerProcess(DIST, 'fe', ['--data-dir', folder], {
    ENC_SERVER_TS_BECLIENTCONFIGS_SERVERADDR: `127.0.0.1:${be.port}`,
  });
  await fe.start();
  const state = { isOver: false, operations: 0 };
  const caller = async (number: number) => {
    const address = { host: '127.0.0.1', port: fe.port };
    const client = new FeClient({ address, timeoutMs: 20_000, attemptsMax: 1_000 });
    const key = drawKey();
    for (let turn = 0; !state.isOver; turn++) {
      const record = Buffer.from(`${number} ${turn}`);
      await client.store(`rolling ${number}`, record, { key });
      assert.deepEqual((await client.retrieve(`rolling ${number}`, key)).record, record);
      state.operations += 2;
    }
    client.close();
  };
  const working = Promise.all(Array.from({ length: CALLERS }, (_none, number) => caller(number)));
  working.catch(() => undefined);
  for (let restart = 0; restart < RESTARTS; restart++) {
    for (const server of [be, fe]) {
      const before = state.operations;
      assert.equal(await server.end('SIGTERM'), 0);
      await server.start();
      while (state.operations < before + CALLERS) {
        await Promise.race([working, sleep(5)]);
      }
    }
  }
  state.isOver = true;
  await working;
  await fe.end('SIGTERM');
  await be.end('SIGTERM');
  await rm(folder, { recursive: true });
});
