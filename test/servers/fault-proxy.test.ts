/** The proxy of the fault suite delays and cuts, and does nothing that no network does. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FaultProxy } from '../helpers/fault-proxy.ts';

test('what arrives after a delay has ended does not overtake what was held back', async () => {
  const server = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const proxy = await FaultProxy.open(() => ({ host: '127.0.0.1', port }));
  const socket = connect({ host: '127.0.0.1', port: proxy.port, noDelay: true });
  try {
    await once(socket, 'connect');
    const answer = new Promise<string>((resolve) => {
      let said = '';
      socket.on('data', (chunk) => {
        said += chunk;
        if (said.length === 3) resolve(said);
      });
    });
    for (const [delayMs, letter] of [
      [300, 'a'],
      [100, 'b'],
      [0, 'c'],
    ] as const) {
      proxy.delayMs = delayMs;
      socket.write(letter);
      await sleep(20);
    }
    assert.equal(await answer, 'abc');
  } finally {
    socket.destroy();
    await proxy.close();
    server.close();
  }
});
