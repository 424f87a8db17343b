/** The console when a server takes its requests and then says nothing, or little at a time. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { NO_BROWSER, openBrowser } from '../helpers/browser.ts';
import { keyOf, made, RECORD, retrieve, store, view, withPage } from '../helpers/console.ts';
import { type RunningUp, startUp, until } from '../helpers/programs.ts';

const options = { skip: NO_BROWSER ?? false, timeout: 60_000 };
const SILENCE = 'sent nothing for 30 seconds';

/** Passes connections on to a port; once it `holds`, of what comes back only what is let through. */
async function openGate(port: number) {
  const held: (() => void)[] = [];
  const gate = { holds: false, held, port: 0, close: () => server.close() };
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const behind = connect(port, '127.0.0.1');
    for (const [one, other] of [
      [client, behind],
      [behind, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => other.destroy());
    }
    client.pipe(behind);
    behind.on('data', (chunk) => {
      const pass = () => client.write(chunk);
      if (gate.holds) held.push(pass);
      else pass();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  gate.port = (server.address() as AddressInfo).port;
  gate.close = () => {
    for (const socket of sockets) socket.destroy();
    return server.close();
  };
  return gate;
}

describe('the console, where nothing comes', options, () => {
  let folder: string;
  let browser: Browser;
  let up: RunningUp;
  before(async () => {
    if (NO_BROWSER !== undefined) return;
    folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-e2e-'));
    browser = await openBrowser();
    up = await startUp(folder);
  });
  after(async () => {
    if (NO_BROWSER !== undefined) return;
    await up.killAll();
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Does what asks the server, which is then silent for half a minute. */
  async function unanswered(page: Page, url: string, act: () => Promise<void>): Promise<void> {
    await Promise.all([page.waitForRequest(url), act()]);
    await page.clock.fastForward(30_000);
  }

  it('waits half a minute for a record, the items and the state, and says so', () =>
    withPage(browser, `http://127.0.0.1:${up.fePort}`, async (page) => {
      await page.clock.install();
      await page.reload();
      await page.getByText('Ready').waitFor();
      process.kill(up.fePid, 'SIGSTOP');
      try {
        await unanswered(page, RECORD, () => retrieve(page, 'any', 'ab'.repeat(32)));
        await page.locator('#retrieve .error').getByText(SILENCE).waitFor();
        await unanswered(page, '**/data?*', () => view(page, 'Items'));
        await page.locator('#items .error').getByText(SILENCE).waitFor();
        await page.locator('#state').getByText(SILENCE).waitFor();
      } finally {
        process.kill(up.fePid, 'SIGCONT');
      }
      await page.clock.fastForward(10_000);
      await page.locator('#state').getByText('Ready').waitFor();
    }));

  it('ends a list of items that are not sent', () =>
    withPage(browser, `http://127.0.0.1:${up.fePort}`, async (page) => {
      await page.clock.install();
      await page.reload();
      await page.getByText('Ready').waitFor();
      for (const text of ['1', '2', '3', '4', '5']) {
        const body = JSON.stringify({ id: 1, data: text });
        const headers = { 'Content-Type': 'application/json' };
        await fetch(`http://127.0.0.1:${up.fePort}/data`, { method: 'POST', headers, body });
      }
      // Taken, and never answered.
      await page.route('**/data/*', () => undefined);
      await unanswered(page, '**/data/*', () => view(page, 'Items'));
      await page.locator('#items .error').getByText(SILENCE).waitFor();
    }));

  it('takes a record that comes slowly, but comes', async () => {
    const gate = await openGate(up.fePort);
    try {
      await withPage(browser, `http://127.0.0.1:${gate.port}`, async (page) => {
        await page.clock.install();
        await page.reload();
        await page.getByText('Ready').waitFor();
        const text = 'slow '.repeat(100_000);
        await store(page, 'slow', text);
        await made(page).getByText('Stored as').waitFor();
        // The looks at the state would come in between.
        await page.route('**/v1/status', (route) => route.abort());
        const network = await page.context().newCDPSession(page);
        await network.send('Network.enable');
        let came = 0;
        network.on('Network.dataReceived', () => came++);
        gate.holds = true;
        await retrieve(page, 'slow', await keyOf(page));
        for (let parts = 0; parts < 4; parts++) {
          await until('a part of the answer', () => gate.held.length > 0 || undefined);
          const before = came;
          gate.held.shift()?.();
          await until('it to come', () => came > before || undefined);
          // One that the page has not looked at in time is made up for by the next.
          await page.clock.fastForward(14_000);
        }
        gate.holds = false;
        for (const pass of gate.held) pass();
        await page.locator('#retrieve .found').getByText('488.3 KiB').waitFor();
        assert.ok(await page.locator('#retrieve .error').isHidden());
      });
    } finally {
      gate.close();
    }
  });
});
