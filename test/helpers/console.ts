/** What the tests of the console in a browser do on its page. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import type { Browser, Page, Route } from 'playwright-core';
import { openPage } from './browser.ts';

export const RECORD = '**/v1/record';
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** A page for the time of `use`, which must not complain. */
export async function withPage(
  browser: Browser,
  base: string,
  use: (page: Page) => Promise<void>,
  settings: Parameters<Browser['newContext']>[0] = {},
): Promise<void> {
  const watched = await openPage(browser, settings);
  try {
    watched.page.setDefaultTimeout(10_000);
    await watched.page.goto(base);
    await use(watched.page);
    assert.deepEqual(watched.complaints, []);
  } finally {
    await watched.context.close();
  }
}

export async function view(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name, exact: true }).click();
}

export async function store(page: Page, id: string, text: string): Promise<void> {
  await view(page, 'Store');
  await page.locator('#store-id').fill(id);
  await page.locator('#store-text').fill(text);
  await page.getByRole('button', { name: 'Store it' }).click();
}

export async function retrieve(page: Page, id: string, key: string): Promise<void> {
  await view(page, 'Retrieve');
  await page.locator('#retrieve-id').fill(id);
  await page.locator('#retrieve-key').fill(key);
  await page.getByRole('button', { name: 'Retrieve it' }).click();
}

/** The server does what comes next, and its answer gets lost. */
export async function loseNextAnswer(page: Page): Promise<void> {
  await page.route(
    RECORD,
    async (route) => {
      await route.fetch();
      await route.abort('connectionreset');
    },
    { times: 1 },
  );
}

/** Holds what comes next back, on its way to the server, until the result is called. */
export async function holdNext(page: Page, url: string): Promise<() => void> {
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const hold = async (route: Route) => {
    await released;
    await route.continue();
  };
  await page.route(url, hold, { times: 1 });
  return release;
}

/** What the last store made; that of the one before it stays on the page, but marked so. */
export const made = (page: Page) => page.locator('#store .made:not(.before)');
export const keyOf = async (page: Page) =>
  (await page.locator('#store [data-what="The key"]').textContent()) ?? '';

/** Also not wider than the screen. The page needs `bypassCSP`. */
export async function assertAccessible(page: Page, what: string): Promise<void> {
  await page.addScriptTag({ path: AXE });
  const violations = (await page.evaluate(
    'axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)].join(" ")))',
  )) as string[];
  assert.deepEqual(violations, [], what);
  await assertNarrow(page, what);
}

export async function assertNarrow(page: Page, what: string): Promise<void> {
  const isWide = await page.evaluate('document.documentElement.scrollWidth > innerWidth');
  assert.equal(isWide, false, `${what} is wider than the screen`);
}
