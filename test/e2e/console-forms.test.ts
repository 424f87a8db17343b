/** What the forms of the console keep, name and let go, on the real servers. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page, Route } from 'playwright-core';
import { NO_BROWSER, openBrowser } from '../helpers/browser.ts';
import {
  holdNext,
  keyOf,
  made,
  RECORD,
  retrieve,
  store,
  view,
  withPage,
} from '../helpers/console.ts';
import { type RunningUp, startUp } from '../helpers/programs.ts';

const options = { skip: NO_BROWSER ?? false, timeout: 60_000 };

let folder: string;
let browser: Browser;
let up: RunningUp;
let base: string;
before(async () => {
  if (NO_BROWSER !== undefined) return;
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-e2e-'));
  browser = await openBrowser();
  up = await startUp(join(folder, 'data'), [], {
    env: { ENC_SERVER_TS_FESERVERCONFIGS_WRITEPOLICY: 'key-proof' },
  });
  base = `http://127.0.0.1:${up.fePort}`;
});
after(async () => {
  if (NO_BROWSER !== undefined) return;
  await browser.close();
  await up.killAll();
  await rm(folder, { recursive: true, force: true });
});

describe('the forms of the console', options, () => {
  it('take nothing more while a record is sent, and erase nothing that was not', () =>
    withPage(browser, base, async (page) => {
      const release = await holdNext(page, RECORD);
      await store(page, 'first', 'sent');
      await page.locator('#store progress').waitFor();
      assert.ok(await page.locator('#store-text').isDisabled());
      release();
      await made(page).getByText('Stored as').waitFor();
      assert.equal(await page.locator('#store-text').inputValue(), '');
      assert.ok(await page.locator('#store-text').isEnabled());
      await view(page, 'Items');
      const releaseItem = await holdNext(page, '**/data');
      await page.getByLabel('A new item').fill('one');
      await page.getByRole('button', { name: 'Add it' }).click();
      await page.getByLabel('A new item').fill('the next');
      releaseItem();
      await page.locator('#item-list').getByText('one').waitFor();
      assert.equal(await page.getByLabel('A new item').inputValue(), 'the next');
    }));

  it('give the focus back to what had it, where a store is refused', () =>
    withPage(browser, base, async (page) => {
      await store(page, 'focused', 'x');
      await made(page).getByText('Stored as').waitFor();
      await page.locator('#store-id').fill('focused');
      for (const [had, key] of [
        ['#store button[type="submit"]', 'Space'],
        ['#store button[type="submit"]', 'Enter'],
        ['#store-id', 'Enter'],
      ] as const) {
        const release = await holdNext(page, RECORD);
        await page.locator(had).press(key);
        await page.waitForFunction('document.activeElement === document.body');
        release();
        await page.locator('#store .error').getByText('show its key').waitFor();
        assert.ok(await page.evaluate(`document.activeElement.matches('${had}')`));
      }
    }));

  it('name what was stored, and tell it from what then failed', () =>
    withPage(browser, base, async (page) => {
      await store(page, 'replaced', 'old');
      await made(page).getByText('Stored as replaced.').waitFor();
      const key = await keyOf(page);
      const before = () =>
        page.evaluate(
          "getComputedStyle(document.querySelector('#store .made'), '::before').content",
        );
      assert.equal(await before(), 'none');
      await store(page, 'replaced', 'new');
      await page.locator('#store .error').getByText('show its key').waitFor();
      assert.equal(await before(), '"The one before:"');
      assert.equal(await keyOf(page), key);
      await page.getByLabel('Key of the record that it replaces').fill(key);
      await page.getByRole('button', { name: 'Store it' }).click();
      await made(page).getByText('Stored as replaced; it replaced').waitFor();
      assert.equal(await before(), 'none');
      assert.notEqual(await keyOf(page), key);
      assert.ok(await page.getByLabel('Key of the record that it replaces').isHidden());
    }));

  it('take a page of a proxy for no answer, and can be sent again', () =>
    withPage(browser, base, async (page) => {
      const login = { contentType: 'text/html', body: '<!doctype html><title>Log in</title>' };
      await page.route(RECORD, (route) => route.fulfill(login), { times: 1 });
      await store(page, 'behind a proxy', 'x');
      await page.locator('#store .error').getByText('did not answer').waitFor();
      await made(page).getByText('It may have been stored').waitFor();
      await page.getByRole('button', { name: 'Store it' }).click();
      await made(page).getByText('Stored as behind a proxy.').waitFor();
    }));

  it('say that it may have been stored only where that is so', () =>
    withPage(browser, base, async (page) => {
      for (const [status, code, isUnsure] of [
        [500, 'ALTERED', false],
        [503, 'UNAVAILABLE', false],
        [500, 'INTERNAL', true],
        [502, 'UNKNOWN_OUTCOME', true],
        [504, 'TIMEOUT', true],
        [500, undefined, true],
      ] as const) {
        const answer = { status, json: { code, title: `this is ${code}` } };
        await page.route(RECORD, (route) => route.fulfill(answer), { times: 1 });
        await page.reload();
        await store(page, 'perhaps', 'x');
        await page.locator('#store .error').getByText(/./).waitFor();
        assert.equal(await made(page).isVisible(), isUnsure, code);
      }
    }));

  it('make links of every ID, also of one that begins with a byte order mark', () =>
    withPage(browser, base, async (page) => {
      await store(page, '\ufeffboss', 'under a mark');
      await made(page).getByText('Stored as').waitFor();
      const link = await page.locator('[data-what="A link with ID and key"]').textContent();
      await page.goto('about:blank');
      await page.goto(link ?? '');
      await page.getByRole('button', { name: 'Open it' }).click();
      await page.locator('#link .found').getByText('under a mark').waitFor();
      await view(page, 'Store');
      assert.equal(await page.locator('#link .found a').count(), 0);
    }));

  it('let go of a record that is deleted', () =>
    withPage(browser, base, async (page) => {
      await store(page, 'to be deleted', 'gone with it');
      await made(page).getByText('Stored as').waitFor();
      await retrieve(page, 'to be deleted', await keyOf(page));
      const url = await page.locator('#retrieve .found a').getAttribute('href');
      await page.getByRole('button', { name: 'Delete it' }).click();
      await page.getByText('Deleted: nothing is there any more').waitFor();
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.evaluate(
          `document.body.appendChild(Object.assign(document.createElement('a'), { href: '${url}', download: 'x' })).click()`,
        ),
      ]);
      assert.notEqual(await download.failure(), null);
    }));

  it('show no record beside the words that it is deleted, when the record comes late', () =>
    withPage(browser, base, async (page) => {
      await storeRaced(page);
      const deleteMeanwhile = async (route: Route) => {
        const response = await route.fetch();
        await page.getByRole('button', { name: 'Delete it' }).click();
        await page.getByText('Deleted: nothing is there any more').waitFor();
        await route.fulfill({ response });
      };
      await page.route(RECORD, deleteMeanwhile, { times: 1 });
      const record = page.waitForResponse((answer) => answer.request().method() === 'GET');
      await page.getByRole('button', { name: 'Retrieve it' }).click();
      await record;
      await page.getByRole('button', { name: 'Retrieve it', disabled: false }).waitFor();
      assert.ok(await page.locator('#retrieve .found').isHidden());
    }));

  it('let go of a record that was shown while it was being deleted, and of no other', () =>
    withPage(browser, base, async (page) => {
      await store(page, 'other', 'another one');
      await made(page).getByText('Stored as other.').waitFor();
      const otherKey = await keyOf(page);
      const found = page.locator('#retrieve .found');
      for (const other of [false, true]) {
        const key = await storeRaced(page);
        const release = await holdNext(page, RECORD);
        await page.getByRole('button', { name: 'Delete it' }).click();
        await (other ? retrieve(page, 'other', otherKey) : retrieve(page, 'raced', key));
        await found.getByText(other ? 'another one' : 'soon gone').waitFor();
        release();
        await page.getByText('Deleted: nothing is there any more').waitFor();
        assert.equal(await found.isVisible(), other);
        await page.getByText('nothing is there any more as raced.').waitFor();
      }
    }));

  it('do not say that there is a record where a delete lacks its key', () =>
    withPage(browser, base, async (page) => {
      await view(page, 'Retrieve');
      await page.locator('#retrieve-id').fill('not there');
      await page.getByRole('button', { name: 'Delete it' }).click();
      const words = page.locator('#retrieve .error').getByText('show its key');
      assert.doesNotMatch((await words.textContent()) ?? '', /There is a record/);
    }));

  it('send keys of records of the family, which may have 16 or 24 bytes', () =>
    withPage(browser, base, async (page) => {
      for (const key of ['ab'.repeat(16), 'ab'.repeat(24)]) {
        const asked = page.waitForRequest(RECORD);
        await retrieve(page, 'of the family', key);
        assert.equal((await (await asked).allHeaders())['enc-record-key'], key);
      }
    }));

  it('show the names of files as they are, and one for those that have none', () =>
    withPage(browser, base, async (page) => {
      for (const [name, shown] of [
        ['\u202egnp.exe', '_gnp.exe'],
        ['', 'record.txt'],
      ] as const) {
        await view(page, 'Store');
        await dropFile(page, '#store', name);
        const words = await page.locator('#store .drop-words').textContent();
        assert.equal(words, `${name === '' ? 'a file' : shown}, 7 bytes`);
        await page.locator('#store-id').fill(shown);
        await page.getByRole('button', { name: 'Store it' }).click();
        await made(page).getByText(`Stored as ${shown}`).waitFor();
        await retrieve(page, shown, await keyOf(page));
        const save = page.locator('#retrieve .found a');
        await save.getByText(`Save as ${shown}`, { exact: true }).waitFor();
        assert.equal(await save.getAttribute('download'), shown);
      }
    }));

  it('send nothing of a file that has changed since it was chosen, and say so', () =>
    withPage(browser, base, async (page) => {
      const path = join(folder, 'changing');
      const input = page.locator('#store input[type="file"]');
      const sent: string[] = [];
      page.on('request', (request) => sent.push(request.method()));
      await view(page, 'Store');
      await page.locator('#store-id').fill('changing');
      for (const [before, now] of [
        ['first', 'changed'],
        ['', 'no longer empty'],
        ['soon gone', undefined],
        ['', undefined],
      ] as const) {
        await writeFile(path, before);
        await input.setInputFiles(path);
        await (now === undefined ? rm(path) : writeFile(path, now));
        await page.getByRole('button', { name: 'Store it' }).click();
        await page.locator('#store .error').getByText('Choose it again').waitFor();
        assert.ok(await made(page).isHidden());
        // Else a browser would not tell that the same one is chosen again.
        assert.equal(await input.inputValue(), '');
      }
      assert.ok(!sent.includes('PUT'));
      await writeFile(path, '');
      await input.setInputFiles(path);
      await page.getByRole('button', { name: 'Store it' }).click();
      await made(page).getByText('Stored as changing.').waitFor();
    }));

  it('let go of a file that was dropped by mistake, and keep the text', () =>
    withPage(browser, base, async (page) => {
      await page.locator('#share-text').fill('typed');
      await dropFile(page, '#share', 'by mistake');
      await page.locator('#share .drop-words').getByText('by mistake').waitFor();
      assert.ok(await page.locator('#share-text').isDisabled());
      await page.getByRole('button', { name: 'Take no file' }).click();
      assert.ok(await page.locator('#share-text').isEnabled());
      assert.equal(await page.locator('#share-text').inputValue(), 'typed');
      await page.getByText('or a file: choose one').first().waitFor();
    }));
});

/** Stored, and its ID and key entered where it is retrieved and deleted. */
async function storeRaced(page: Page): Promise<string> {
  await store(page, 'raced', 'soon gone');
  await made(page).getByText('Stored as raced.').waitFor();
  const key = await keyOf(page);
  await view(page, 'Retrieve');
  await page.locator('#retrieve-id').fill('raced');
  await page.locator('#retrieve-key').fill(key);
  return key;
}

async function dropFile(page: Page, section: string, name: string): Promise<void> {
  await page.evaluate(`{
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(['dropped'], ${JSON.stringify(name)}, { type: 'text/plain' }));
    const drop = new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true });
    document.querySelector('${section}').dispatchEvent(drop);
  }`);
}
