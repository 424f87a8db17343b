/** The console on a small screen and for screen readers, in what it says while it is used. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { NO_BROWSER, openBrowser } from '../helpers/browser.ts';
import {
  assertAccessible,
  assertNarrow,
  keyOf,
  made,
  retrieve,
  store,
  view,
  withPage,
} from '../helpers/console.ts';
import { type RunningUp, startUp } from '../helpers/programs.ts';

const options = { skip: NO_BROWSER ?? false, timeout: 60_000 };
const viewport = { width: 360, height: 740 };

let folder: string;
let browser: Browser;
let up: RunningUp;
let base: string;
before(async () => {
  if (NO_BROWSER !== undefined) return;
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-e2e-'));
  browser = await openBrowser();
  up = await startUp(join(folder, 'data'));
  base = `http://127.0.0.1:${up.fePort}`;
});
after(async () => {
  if (NO_BROWSER !== undefined) return;
  await browser.close();
  await up.killAll();
  await rm(folder, { recursive: true, force: true });
});

/** Stores a file; resolves to the link with ID and key. */
async function storeFile(page: Page, id: string, name: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, 'signed');
  await view(page, 'Store');
  await page.locator('#store-id').fill(id);
  await page.locator('#store input[type="file"]').setInputFiles(path);
  await page.locator('#store .drop-words').getByText(name).waitFor();
  await assertNarrow(page, 'a chosen file');
  await page.getByRole('button', { name: 'Store it' }).click();
  await made(page).getByText('Stored as').waitFor();
  await assertNarrow(page, 'a stored file');
  return (await page.locator('[data-what="A link with ID and key"]').textContent()) ?? '';
}

describe('the console at the width of a phone', options, () => {
  for (const [what, id, name] of [
    ['an ordinary name', 'lease', 'Vertrag_2026_unterschrieben_final_v2.pdf'],
    ['names as long as they may be', 'i'.repeat(900), `${'n'.repeat(170)}.txt`],
  ] as const) {
    it(`is not wider for ${what}`, () =>
      withPage(
        browser,
        base,
        async (page) => {
          const link = await storeFile(page, id, name);
          const key = await keyOf(page);
          await retrieve(page, id, key);
          await page.locator('#retrieve .found').getByText(`Save as ${name}`).waitFor();
          await assertNarrow(page, 'a found file');
          await page.goto('about:blank');
          await page.goto(link);
          await page.getByRole('button', { name: 'Open it' }).click();
          await page.locator('#link .found').getByText(`Save as ${name}`).waitFor();
          await assertNarrow(page, 'the file of a link');
          await view(page, 'Retrieve');
          await page.locator('#retrieve-id').fill(id);
          await page.getByRole('button', { name: 'Delete it' }).click();
          await page.getByText('Deleted: nothing is there any more').waitFor();
          await assertNarrow(page, 'a deleted record');
        },
        { viewport },
      ));
  }

  it('is not wider for what else is long: items, their numbers, errors, the state', () =>
    withPage(
      browser,
      base,
      async (page) => {
        await page.getByText('Ready').waitFor();
        const item = { id: 1_234_567, data: 'd'.repeat(900) };
        const headers = { 'Content-Type': 'application/json' };
        const request = { method: 'POST', headers, body: JSON.stringify(item) };
        assert.ok((await fetch(`${base}/data`, request)).ok);
        const title = 't'.repeat(900);
        const answer = { status: 500, json: { title } };
        await view(page, 'Items');
        await page.locator('#item-list').getByText(item.data).waitFor();
        await assertNarrow(page, 'an item');
        const lines = await page.evaluate(`{
          const range = document.createRange();
          range.selectNodeContents(document.querySelector('#item-list li:last-child .number'));
          range.getClientRects().length;
        }`);
        assert.equal(lines, 1, 'a number is on one line');
        await page.route('**/data*', (route) => route.fulfill(answer));
        await view(page, 'Items');
        await page.locator('#items .error').getByText(title).waitFor();
        await assertNarrow(page, 'an error');
        await page.route('**/v1/status', (route) => route.fulfill(answer));
        await page.reload();
        await page.locator('#state').getByText(title).waitFor();
        await assertNarrow(page, 'the state');
      },
      { viewport },
    ));
});

describe('the console for screen readers', options, () => {
  const settings = { viewport, bypassCSP: true, permissions: ['clipboard-write'] };

  it('says what became of a copy', () =>
    withPage(
      browser,
      base,
      async (page) => {
        await page.getByLabel('Text').first().fill('x');
        await page.getByRole('button', { name: 'Make the link' }).click();
        const copy = page.getByRole('button', { name: 'Copy: The link' });
        await copy.waitFor();
        await assertAccessible(page, 'a link that was made');
        await copy.click();
        const outcome = page.locator('#share .made').getByRole('status');
        await outcome.getByText('Copied', { exact: true }).waitFor();
        await assertAccessible(page, 'a link that was copied');
        // As on a page without TLS.
        await page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })");
        await copy.click();
        await outcome.getByText('Select and copy by hand', { exact: true }).waitFor();
        await assertAccessible(page, 'a link that cannot be copied');
      },
      settings,
    ));

  it('is accessible where it shows records and errors', () =>
    withPage(
      browser,
      base,
      async (page) => {
        await store(page, 'seen', 'a text');
        await made(page).getByText('Stored as seen').waitFor();
        await assertAccessible(page, 'a stored record');
        await retrieve(page, 'seen', await keyOf(page));
        await page.locator('#retrieve .found').getByText('a text').waitFor();
        await assertAccessible(page, 'a found record');
        await page.getByRole('button', { name: 'Delete it' }).click();
        await page.getByText('Deleted: nothing is there any more').waitFor();
        await assertAccessible(page, 'a deleted record');
        await page.getByRole('button', { name: 'Retrieve it' }).click();
        await page.locator('#retrieve .error').getByText('There is no such record').waitFor();
        await assertAccessible(page, 'an error');
      },
      settings,
    ));
});
