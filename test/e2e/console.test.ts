/** The console, as somebody with a browser uses it, on the real servers. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { FeClient } from '../../lib/fe/client.ts';
import { NO_BROWSER, openBrowser, openPage, type Watched } from '../helpers/browser.ts';
import { assertAccessible } from '../helpers/console.ts';
import { http } from '../helpers/http.ts';
import { type RunningUp, run, startUp, until } from '../helpers/programs.ts';

const MIB = 1024 * 1024;
const SECRET = 'the moon is a harsh mistress';

let folder: string;
let up: RunningUp;
let browser: Browser;
let base: string;
let port: number;

before(async () => {
  if (NO_BROWSER !== undefined) return;
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-e2e-'));
  up = await startUp(join(folder, 'data'));
  port = Number(up.toFe.at(-1)?.split(':').at(-1));
  base = `http://127.0.0.1:${port}`;
  browser = await openBrowser();
});
after(async () => {
  if (NO_BROWSER !== undefined) return;
  await browser.close();
  await up.killAll();
  await rm(folder, { recursive: true, force: true });
});

const options = { skip: NO_BROWSER ?? false, timeout: 60_000 };

/** A page for the time of `use`; what it may never do is looked at afterwards. */
async function withPage(
  use: (watched: Watched) => Promise<void>,
  settings: Parameters<Browser['newContext']>[0] = {},
): Promise<void> {
  const watched = await openPage(browser, settings);
  try {
    await use(watched);
    assert.deepEqual(watched.complaints, []);
    const elsewhere = watched.urls.filter(
      (url) => !url.startsWith(base) && !url.startsWith('blob:'),
    );
    assert.deepEqual(elsewhere, [], 'requests to another host');
    // Neither keys nor links of one-time records are in a URL that leaves the page.
    const sent = watched.urls.map((url) => url.split('#', 1)[0] ?? '');
    assert.ok(!sent.some((url) => /[0-9a-f]{64}/.test(url)), sent.join('\n'));
  } finally {
    await watched.context.close();
  }
}

async function view(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name, exact: true }).click();
}

async function shareText(page: Page, text: string): Promise<string> {
  await page.goto(base);
  await page.getByLabel('Text').first().fill(text);
  await page.getByRole('button', { name: 'Make the link' }).click();
  const link = await page.locator('[data-what="The link"]').textContent();
  return link ?? '';
}

async function storeText(page: Page, id: string, text: string): Promise<string> {
  await page.goto(base);
  await view(page, 'Store');
  await page.locator('#store-id').fill(id);
  await page.locator('#store-text').fill(text);
  await page.getByRole('button', { name: 'Store it' }).click();
  return (await page.locator('[data-what="The key"]').textContent()) ?? '';
}

async function retrieve(page: Page, id: string, key: string): Promise<void> {
  await view(page, 'Retrieve');
  await page.locator('#retrieve-id').fill(id);
  await page.locator('#retrieve-key').fill(key);
  await page.getByRole('button', { name: 'Retrieve it' }).click();
}

const found = (page: Page, section = '#retrieve') => page.locator(`${section} .found`);
const error = (page: Page, section = '#retrieve') => page.locator(`${section} .error`);

describe('the console', options, () => {
  it('stores a text, shows its key once, and retrieves and deletes it', () =>
    withPage(async ({ page }) => {
      const key = await storeText(page, 'alice', SECRET);
      assert.match(key, /^[0-9a-f]{64}$/);
      await retrieve(page, 'alice', key);
      await found(page).getByText(SECRET).waitFor();
      await retrieve(
        page,
        'alice',
        key.replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
      );
      await error(page).getByText('does not open this record').waitFor();
      await retrieve(page, 'nobody', key);
      await error(page).getByText('There is no such record').waitFor();
      await retrieve(page, 'alice', 'not a key');
      await error(page).getByText('That is no key').waitFor();
      await retrieve(page, 'alice', key);
      await found(page).getByText(SECRET).waitFor();
      await page.getByRole('button', { name: 'Delete it' }).click();
      await page.getByText('Deleted: nothing is there any more').waitFor();
      await retrieve(page, 'alice', key);
      await error(page).getByText('There is no such record').waitFor();
    }));

  it('brings a file of 5 MiB there and back, with its name', () =>
    withPage(async ({ page }) => {
      const bytes = randomBytes(5 * MIB);
      const path = join(folder, 'a file.bin');
      await writeFile(path, bytes);
      await page.goto(base);
      await view(page, 'Store');
      await page.locator('#store-id').fill('large');
      await page.locator('#store input[type="file"]').setInputFiles(path);
      await page.getByRole('button', { name: 'Store it' }).click();
      const key = await page.locator('[data-what="The key"]').textContent();
      await retrieve(page, 'large', key ?? '');
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('link', { name: 'Save as a file.bin' }).click(),
      ]);
      assert.ok((await readFile(await download.path())).equals(bytes));
    }));

  it('makes links that open once, after a button was pressed', () =>
    withPage(async ({ page, context, urls }) => {
      const link = await shareText(page, SECRET);
      assert.match(link, /^http:\/\/127\.0\.0\.1:\d+\/#[\w-]{60,}$/);
      // What makes previews of links runs no scripts, or presses no button.
      assert.ok(!`${(await http(port, 'GET', '/')).body}`.includes(SECRET));
      const other = await context.newPage();
      await other.goto(link);
      await other.getByText('Somebody left you a record').waitFor();
      await other.close();
      await page.goto('about:blank');
      await page.goto(link);
      await page.getByRole('button', { name: 'Open it' }).click();
      await found(page, '#link').getByText(SECRET).waitFor();
      await page.goto('about:blank');
      await page.goto(link);
      await page.getByRole('button', { name: 'Open it' }).click();
      await error(page, '#link')
        .getByText(/could be read once, and was, .*20\d\d/)
        .waitFor();
      assert.ok(urls.filter((url) => url.includes('#')).every((url) => url.startsWith(link)));
    }));

  it('opens nothing with a cut or mistyped link, and burns nothing', () =>
    withPage(async ({ page }) => {
      const link = await shareText(page, SECRET);
      // In the last letter, the lowest two bits mean nothing.
      const changed = link.replace(/.$/, (char) => (char === 'A' ? 'Q' : 'A'));
      for (const wrong of [link.slice(0, -3), changed, `${link.slice(0, 40)}`]) {
        await page.goto('about:blank');
        await page.goto(wrong);
        await error(page, '#link').getByText('This link is not whole').waitFor();
        assert.ok(!(await page.getByRole('button', { name: 'Open it' }).isVisible()));
      }
      await page.goto('about:blank');
      await page.goto(link);
      await page.getByRole('button', { name: 'Open it' }).click();
      await found(page, '#link').getByText(SECRET).waitFor();
    }));

  it('lets a reader whose answer was lost press again', () =>
    withPage(async ({ page }) => {
      const link = await shareText(page, SECRET);
      await page.goto('about:blank');
      await page.goto(link);
      let isFirst = true;
      await page.route('**/v1/record', async (route) => {
        if (!isFirst) return await route.continue();
        isFirst = false;
        // The server answers, and the answer gets lost.
        await route.fetch();
        await route.abort('connectionreset');
      });
      await page.getByRole('button', { name: 'Open it' }).click();
      await error(page, '#link').getByText('The server did not answer').waitFor();
      await page.getByRole('button', { name: 'Open it' }).click();
      await found(page, '#link').getByText(SECRET).waitFor();
    }));

  it('shows items, and adds one', () =>
    withPage(async ({ page }) => {
      await page.goto(base);
      await view(page, 'Items');
      await page.getByLabel('A new item').fill('first');
      await page.getByRole('button', { name: 'Add it' }).click();
      await page.locator('#item-list').getByText('first').waitFor();
      await page.getByLabel('A new item').fill('<b>second</b>');
      await page.getByRole('button', { name: 'Add it' }).click();
      await page.locator('#item-list').getByText('<b>second</b>').waitFor();
    }));

  it('refuses in words what is too long', () =>
    withPage(async ({ page }) => {
      const path = join(folder, 'too long');
      await writeFile(path, Buffer.alloc(17 * MIB));
      await page.goto(base);
      await page.locator('#share input[type="file"]').setInputFiles(path);
      await page.getByRole('button', { name: 'Make the link' }).click();
      await error(page, '#share')
        .getByText(/longer than the server takes/)
        .waitFor();
    }));

  it('and fe-client see the same records', () =>
    withPage(async ({ page }) => {
      const stored = await run('fe-client', [
        'store',
        '--id',
        'shared',
        '--record',
        'by hand',
        ...up.toFe,
      ]);
      await page.goto(base);
      await retrieve(page, 'shared', stored.stdout.toString().trim());
      await found(page).getByText('by hand').waitFor();
      const key = await storeText(page, 'from the page', 'näive ✓');
      const flags = ['--id', 'from the page', '--key', key, ...up.toFe];
      const retrieved = await run('fe-client', ['retrieve', ...flags]);
      assert.equal(retrieved.stdout.toString(), 'näive ✓');
    }));

  it('is accessible, light and dark, in every view, at the width of a phone', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const viewport = { width: 360, height: 740 };
      await withPage(
        async ({ page }) => {
          const link = await shareText(page, 'x');
          for (const name of ['Share once', 'Store', 'Retrieve', 'Items']) {
            await view(page, name);
            await assertAccessible(page, `${colorScheme} ${name}`);
          }
          await page.goto('about:blank');
          await page.goto(link);
          await assertAccessible(page, `${colorScheme} link`);
        },
        { colorScheme, viewport, bypassCSP: true },
      );
    }
  });

  it('can be used by keyboard alone', () =>
    withPage(async ({ page }) => {
      await page.goto(base);
      await page.locator('nav button').first().focus();
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      assert.ok(await page.locator('#store').isVisible());
      await page.locator('#store-id').focus();
      await page.keyboard.type('by keyboard');
      await page.keyboard.press('Tab');
      await page.keyboard.type('typed');
      await page.getByRole('button', { name: 'Store it' }).focus();
      await page.keyboard.press('Enter');
      await page.locator('[data-what="The key"]').waitFor();
      const focused = await page.evaluate('document.activeElement?.className');
      assert.equal(focused, 'made');
    }));

  it('has a policy without anything inline, and gives out no file but its own', async () => {
    const page = await http(port, 'GET', '/', { headers: { Accept: 'text/html' } });
    const policy = String(page.headers['content-security-policy']);
    assert.match(policy, /default-src 'none'/);
    assert.ok(!policy.includes('unsafe'));
    assert.ok(!/<script(?![^>]*src=)|style=|\son\w+=/.test(`${page.body}`));
    assert.equal((await http(port, 'GET', '/console/..%2fpackage.json')).status, 404);
    assert.equal((await http(port, 'GET', '/console/index.html')).status, 404);
  });
});

describe('the console and its servers', options, () => {
  it('says that the back end is away, and that it is back', async () => {
    const own = await startUp(join(folder, 'away'));
    const at = own.toFe.at(-1);
    const watched = await openPage(browser);
    try {
      const { page } = watched;
      await page.goto(`http://${at}`);
      await page.getByText('Ready · LevelDB · no TLS').waitFor();
      // The page looks again every ten seconds; here it is not waited for.
      process.kill(own.bePid, 'SIGSTOP');
      await page.reload();
      await page.getByText('The back end cannot be reached').waitFor();
      await page.getByLabel('Text').first().fill('x');
      process.kill(own.bePid, 'SIGCONT');
      await until('the back end to be back', async () => {
        await page.reload();
        // What it finds, not what it says until then.
        const found = page.locator('#state').getByText('·');
        return (await found.textContent())?.startsWith('Ready') || undefined;
      });
    } finally {
      await watched.context.close();
      await own.killAll();
    }
  });

  it('asks for a token where one is needed, and keeps it in memory alone', async () => {
    const data = join(folder, 'tokens');
    const made = await run('enc-server', [
      'tokens',
      'create',
      '--data-dir',
      data,
      '--scopes',
      'store,retrieve,delete,admin',
    ]);
    assert.equal(made.code, 0, made.stderr);
    const token = /est_[\w-]+/.exec(made.stdout.toString())?.[0] ?? '';
    assert.ok(token !== '');
    const own = await startUp(data, [], {
      env: { ENC_SERVER_TS_FESERVERCONFIGS_AUTH: 'required' },
    });
    const watched = await openPage(browser);
    try {
      const { page } = watched;
      await page.goto(`http://${own.toFe.at(-1)}`);
      await page.getByText('An access token is needed').waitFor();
      await page.getByLabel('Access token').fill(`${token.slice(0, -1)}~`);
      await page.getByRole('button', { name: 'Use it' }).click();
      await page.locator('#token-form .error').getByText('not valid').waitFor();
      await page.getByLabel('Access token').fill(token);
      await page.getByRole('button', { name: 'Use it' }).click();
      await page.getByText(/Ready · LevelDB · no TLS · token/).waitFor();
      await page.getByLabel('Text').first().fill('x');
      await page.getByRole('button', { name: 'Make the link' }).click();
      await page.locator('[data-what="The link"]').waitFor();
      const kept = await page.evaluate(
        'JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])',
      );
      assert.equal(kept, '[{},{},""]');
      assert.ok(!watched.urls.some((url) => url.includes('est_')));
      await page.reload();
      await page.getByText('An access token is needed').waitFor();
    } finally {
      await watched.context.close();
      await own.killAll();
    }
  });
});

it('the library and the page make the same links of a record', options, async () => {
  const client = new FeClient({ address: { host: '127.0.0.1', port } });
  try {
    const watched = await openPage(browser);
    const link = await shareText(watched.page, SECRET);
    await watched.context.close();
    // 1 ‖ key ‖ ID ‖ CRC-32, in base64url: `web/link.js`.
    const bytes = Buffer.from(link.split('#')[1] ?? '', 'base64url');
    const { record, once } = await client.retrieve(bytes.subarray(33, -4), bytes.subarray(1, 33));
    assert.deepEqual([`${record}`, once], [SECRET, true]);
  } finally {
    client.close();
  }
});
