/** The console when answers are late, lost or refusals, on the real servers. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page, Route } from 'playwright-core';
import { NO_BROWSER, openBrowser } from '../helpers/browser.ts';
import {
  holdNext,
  keyOf,
  loseNextAnswer,
  made,
  RECORD,
  retrieve,
  store,
  view,
  withPage,
} from '../helpers/console.ts';
import { type RunningUp, run, startUp, until } from '../helpers/programs.ts';

const options = { skip: NO_BROWSER ?? false, timeout: 60_000 };

let folder: string;
let browser: Browser;
before(async () => {
  if (NO_BROWSER !== undefined) return;
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-e2e-'));
  browser = await openBrowser();
});
after(async () => {
  if (NO_BROWSER !== undefined) return;
  await browser.close();
  await rm(folder, { recursive: true, force: true });
});

async function addItem(base: string, id: number, data: string): Promise<void> {
  const headers = { 'Content-Type': 'application/json' };
  await fetch(`${base}/data`, { method: 'POST', headers, body: JSON.stringify({ id, data }) });
}

describe('the console, where a record is replaced only with its key', options, () => {
  let up: RunningUp;
  let base: string;
  before(async () => {
    if (NO_BROWSER !== undefined) return;
    up = await startUp(join(folder, 'proof'), [], {
      env: { ENC_SERVER_TS_FESERVERCONFIGS_WRITEPOLICY: 'key-proof' },
    });
    base = `http://127.0.0.1:${up.fePort}`;
  });
  after(() => up?.killAll());

  it('stores again under the same key after a lost answer, and shows it meanwhile', () =>
    withPage(browser, base, async (page) => {
      await loseNextAnswer(page);
      await store(page, 'lost', 'my only copy');
      await made(page).getByText('It may have been stored').waitFor();
      const key = await keyOf(page);
      await store(page, 'lost', 'my only copy, with more');
      await made(page).getByText('it replaced what was there').waitFor();
      assert.equal(await keyOf(page), key);
      await store(page, 'another', 'x');
      await made(page).getByText('Stored as another.').waitFor();
      assert.notEqual(await keyOf(page), key);
    }));

  it('says that what was entered is no key, though the browser cannot send it', () =>
    withPage(browser, base, async (page) => {
      await page.getByText('Ready').waitFor();
      await retrieve(page, 'nobody', `\u200b${'ab'.repeat(32)}`);
      await page.locator('#retrieve .error').getByText('That is no key').waitFor();
      await page.getByRole('button', { name: 'Delete it' }).click();
      await page.locator('#retrieve .error').getByText('That is no key').waitFor();
    }));

  it('shows a record that arrives late under no other link', () =>
    withPage(browser, base, async (page) => {
      const links: string[] = [];
      for (const text of ['of the first', 'of the second']) {
        await store(page, text, text);
        await made(page).getByText('Stored as').waitFor();
        const link = await page.locator('[data-what="A link with ID and key"]').textContent();
        links.push(link?.split('#')[1] ?? '');
        await page.reload();
      }
      const goTo = (link = '') => page.evaluate(`location.hash = '${link}'`);
      await goTo(links[0]);
      const release = await holdNext(page, RECORD);
      await page.getByRole('button', { name: 'Open it' }).click();
      await goTo(links[1]);
      release();
      // Enabled again once the answer has been looked at.
      const open = page.getByRole('button', { name: 'Open it', disabled: false });
      await open.click();
      await page.locator('#link .found').getByText('of the second').waitFor();
      await goTo(links[0]);
      await open.click();
      await page.locator('#link .found').getByText('of the first').waitFor();
    }));

  it('lists each item once, however often it is asked', () =>
    withPage(browser, base, async (page) => {
      await page.getByText('Ready').waitFor();
      for (const id of [1, 2, 3]) await addItem(base, id, `item ${id}`);
      await page.getByRole('button', { name: 'Items', exact: true }).dblclick();
      await page.locator('#item-list').getByText('item 3').first().waitFor();
      const release = await holdNext(page, '**/data?*');
      await view(page, 'Items');
      await view(page, 'Items');
      await page.locator('#item-list').getByText('item 3').waitFor();
      const late = page.waitForResponse('**/data/3');
      release();
      await late;
      await page.locator('#item-list').getByText('item 3').waitFor();
      const texts = await page.locator('#item-list li').allTextContents();
      assert.deepEqual(texts, ['1item 1', '2item 2', '3item 3']);
    }));

  it('lists the other items when one cannot be read, and that one once it can', () =>
    withPage(browser, base, async (page) => {
      await page.getByText('Ready').waitFor();
      for (const text of ['this one', 'that one']) await addItem(base, 1, text);
      await page.route('**/data/1', (route) => route.abort(), { times: 1 });
      await view(page, 'Items');
      await page.locator('#item-list').getByText('did not answer').waitFor();
      await page.locator('#item-list').getByText('that one').waitFor();
      await page.route('**/data?*', (route) => route.abort(), { times: 1 });
      await view(page, 'Items');
      await page.locator('#items .error').getByText('did not answer').waitFor();
      await view(page, 'Items');
      await page.locator('#item-list').getByText('that one').waitFor();
      assert.equal(await page.locator('#item-list').getByText('did not answer').count(), 0);
      assert.ok(await page.locator('#items .error').isHidden());
    }));

  it('gives the key of a record whose answer got lost to those who give up', () =>
    withPage(browser, base, async (page) => {
      await loseNextAnswer(page);
      await store(page, 'given up', 'still mine');
      await made(page).getByText('It may have been stored').waitFor();
      await retrieve(page, 'given up', await keyOf(page));
      await page.locator('#retrieve .found').getByText('still mine').waitFor();
    }));
});

describe('the console, where an access token is needed', options, () => {
  let data: string;
  let up: RunningUp;
  let base: string;
  before(async () => {
    if (NO_BROWSER !== undefined) return;
    data = join(folder, 'tokens');
    await createToken();
    up = await startUp(data, [], { env: { ENC_SERVER_TS_FESERVERCONFIGS_AUTH: 'required' } });
    base = `http://127.0.0.1:${up.fePort}`;
  });
  after(() => up?.killAll());

  async function createToken(): Promise<string> {
    const flags = ['--data-dir', data, '--scopes', 'store,retrieve'];
    const { stdout } = await run('enc-server', ['tokens', 'create', ...flags]);
    return /est_[\w-]+/.exec(stdout.toString())?.[0] ?? '';
  }

  async function enter(page: Page, token: string): Promise<void> {
    await page.getByLabel('Access token').fill(token);
    await page.getByRole('button', { name: 'Use it' }).click();
  }

  /** Servers notice tokens that are made or revoked within a second. */
  async function untilHeard(token: string, isValid: boolean): Promise<void> {
    const headers = { Authorization: `Bearer ${token}` };
    await until('the token to be noticed', async () => {
      const { status } = await fetch(`${base}/v1/status`, { headers });
      return status === (isValid ? 200 : 401) || undefined;
    });
  }

  async function revoke(token: string): Promise<void> {
    const id = token.split('_')[1] ?? '';
    await run('enc-server', ['tokens', 'revoke', id, '--data-dir', data]);
    await untilHeard(token, false);
  }

  it('asks for another token when its own is revoked, and sends the dead one no more', () =>
    withPage(browser, base, async (page) => {
      // The page looks every ten seconds; here the test says when.
      await page.clock.install();
      await page.reload();
      const token = await createToken();
      await untilHeard(token, true);
      await enter(page, token);
      await page.getByText(/Ready · .* · token/).waitFor();
      await page.getByLabel('Text').first().fill('typed');
      await revoke(token);
      await page.clock.fastForward(10_000);
      await page.getByText('The access token is not valid').waitFor();
      await page.getByLabel('Access token').waitFor();
      const [next] = await Promise.all([
        page.waitForRequest('**/v1/status'),
        page.clock.fastForward(10_000),
      ]);
      assert.equal((await next.allHeaders())['authorization'], undefined);
      const another = await createToken();
      await untilHeard(another, true);
      await enter(page, another);
      await page.getByText(/Ready · .* · token/).waitFor();
      assert.equal(await page.getByLabel('Text').first().inputValue(), 'typed');
    }));

  it('asks for another token as soon as a store is refused, and sends the dead one no more', () =>
    withPage(browser, base, async (page) => {
      // No look of the page, which the test does not want, finds out first.
      await page.clock.install();
      await page.reload();
      const token = await createToken();
      await untilHeard(token, true);
      await enter(page, token);
      await page.locator('#token-form').waitFor({ state: 'hidden' });
      await revoke(token);
      await store(page, 'refused', 'x');
      await page.locator('#store .error').getByText('give an access token above').waitFor();
      assert.ok(await page.getByLabel('Access token').isVisible());
      const next = page.waitForRequest(RECORD);
      await page.getByRole('button', { name: 'Store it' }).click();
      assert.equal((await (await next).allHeaders())['authorization'], undefined);
    }));

  it('takes a token, and shows it, though each answer comes after the next look has begun', () =>
    withPage(browser, base, async (page) => {
      await page.clock.install();
      await page.reload();
      await page.getByText('An access token is needed').waitFor();
      const token = await createToken();
      await untilHeard(token, true);
      let held: Route | undefined;
      await page.route('**/v1/status', async (route) => {
        const earlier = held;
        held = route;
        await earlier?.continue();
      });
      const sent = page.waitForRequest('**/v1/status');
      await enter(page, token);
      await sent;
      await page.clock.fastForward(10_000);
      await page.getByText(/Ready · .* · token/).waitFor();
      await page.locator('#token-form').waitFor({ state: 'hidden' });
    }));

  it('says that what was entered is no token, and sends nothing', () =>
    withPage(browser, base, async (page) => {
      await page.getByText('An access token is needed').waitFor();
      for (const wrong of ['est_\u20ac', 'est_\u{1f600}', 'est_1 2']) {
        await enter(page, wrong);
        await page.locator('#token-form .error').getByText('That is no access token').waitFor();
        assert.equal(await page.getByLabel('Access token').inputValue(), wrong);
      }
    }));

  it('keeps a valid token that is entered while the back end is away', () =>
    withPage(browser, base, async (page) => {
      const token = await createToken();
      await untilHeard(token, true);
      await page.getByText('An access token is needed').waitFor();
      process.kill(up.bePid, 'SIGSTOP');
      try {
        await enter(page, token);
        await page.getByText('The back end cannot be reached').first().waitFor();
        await page.locator('#token-form').waitFor({ state: 'hidden' });
      } finally {
        process.kill(up.bePid, 'SIGCONT');
      }
      await page.getByText(/Ready · .* · token/).waitFor({ timeout: 20_000 });
      await store(page, 'with it', 'x');
      await made(page).getByText('Stored as').waitFor();
    }));

  it('says that it was too often, not that there is no answer', async () => {
    const env = {
      ENC_SERVER_TS_FESERVERCONFIGS_AUTH: 'required',
      ENC_SERVER_TS_FESERVERCONFIGS_WRONGTOKENSPERMINUTEMAX: '1',
    };
    const own = await startUp(join(folder, 'few'), [], { env });
    try {
      await withPage(browser, `http://127.0.0.1:${own.fePort}`, async (page) => {
        await enter(page, `est_${'0'.repeat(12)}_${'A'.repeat(43)}`);
        await page.locator('#token-form .error').getByText('not valid').waitFor();
        await enter(page, `est_${'1'.repeat(12)}_${'A'.repeat(43)}`);
        await page.locator('#token-form .error').getByText('That was too often').waitFor();
        await page.locator('#state').getByText('That was too often').waitFor();
      });
    } finally {
      await own.killAll();
    }
  });
});
