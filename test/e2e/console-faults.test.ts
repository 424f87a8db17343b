/** The console when answers are late, lost or refusals, on the real servers. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { NO_BROWSER, openBrowser, openPage } from '../helpers/browser.ts';
import { type RunningUp, startUp } from '../helpers/programs.ts';

const RECORD = '**/v1/record';
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

async function withPage(base: string, use: (page: Page) => Promise<void>): Promise<void> {
  const watched = await openPage(browser);
  try {
    watched.page.setDefaultTimeout(10_000);
    await watched.page.goto(base);
    await use(watched.page);
    assert.deepEqual(watched.complaints, []);
  } finally {
    await watched.context.close();
  }
}

async function view(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name, exact: true }).click();
}

async function store(page: Page, id: string, text: string): Promise<void> {
  await view(page, 'Store');
  await page.locator('#store-id').fill(id);
  await page.locator('#store-text').fill(text);
  await page.getByRole('button', { name: 'Store it' }).click();
}

async function retrieve(page: Page, id: string, key: string): Promise<void> {
  await view(page, 'Retrieve');
  await page.locator('#retrieve-id').fill(id);
  await page.locator('#retrieve-key').fill(key);
  await page.getByRole('button', { name: 'Retrieve it' }).click();
}

/** The server does what comes next, and its answer gets lost. */
async function loseNextAnswer(page: Page): Promise<void> {
  await page.route(
    RECORD,
    async (route) => {
      await route.fetch();
      await route.abort('connectionreset');
    },
    { times: 1 },
  );
}

const made = (page: Page) => page.locator('#store .made');
const keyOf = async (page: Page) =>
  (await page.locator('#store [data-what="The key"]').textContent()) ?? '';

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
    withPage(base, async (page) => {
      await loseNextAnswer(page);
      await store(page, 'lost', 'my only copy');
      await made(page).getByText('It may have been stored').waitFor();
      const key = await keyOf(page);
      await store(page, 'lost', 'my only copy, with more');
      await made(page).getByText('Stored; it replaced').waitFor();
      assert.equal(await keyOf(page), key);
      await store(page, 'another', 'x');
      await made(page).getByText('Stored.').waitFor();
      assert.notEqual(await keyOf(page), key);
    }));

  it('gives the key of a record whose answer got lost to those who give up', () =>
    withPage(base, async (page) => {
      await loseNextAnswer(page);
      await store(page, 'given up', 'still mine');
      await made(page).getByText('It may have been stored').waitFor();
      await retrieve(page, 'given up', await keyOf(page));
      await page.locator('#retrieve .found').getByText('still mine').waitFor();
    }));
});
