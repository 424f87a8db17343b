/** `node screenshots.js FOLDER`: the pictures of the console in the README. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NO_BROWSER, openBrowser } from '../helpers/browser.ts';
import { startUp } from '../helpers/programs.ts';

const out = process.argv[2] ?? 'docs/images';
if (NO_BROWSER !== undefined) throw new Error(NO_BROWSER);
const folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-pictures-'));
const up = await startUp(join(folder, 'data'));
const browser = await openBrowser();
try {
  const base = `http://127.0.0.1:${up.fePort}`;
  for (const [name, colorScheme, width] of [
    ['console-light', 'light', 900],
    ['console-dark', 'dark', 900],
    ['console-phone', 'light', 390],
  ] as const) {
    const viewport = { width, height: 820 };
    const context = await browser.newContext({ colorScheme, viewport, deviceScaleFactor: 1 });
    const page = await context.newPage();
    await page.goto(base);
    await page.getByText('Ready').waitFor();
    if (name !== 'console-phone') {
      await page.getByRole('button', { name: 'Store', exact: true }).click();
      await page.locator('#store-id').fill('alice');
      await page.locator('#store-text').fill('The spare key is under the third flowerpot.');
    } else {
      await page.getByLabel('Text').first().fill('The spare key is under the third flowerpot.');
    }
    await page.screenshot({ path: join(out, `${name}.png`) });
    if (name === 'console-light') {
      await page.getByRole('button', { name: 'Share once' }).click();
      await page.getByLabel('Text').first().fill('The spare key is under the third flowerpot.');
      await page.getByRole('button', { name: 'Make the link' }).click();
      const link = await page.locator('[data-what="The link"]').textContent();
      await page.screenshot({ path: join(out, 'console-made.png'), fullPage: true });
      await page.goto('about:blank');
      await page.goto(link ?? '');
      await page.getByText('Ready').waitFor();
      await page.setViewportSize({ width, height: 420 });
      await page.screenshot({ path: join(out, 'console-link.png') });
    }
    await context.close();
  }
} finally {
  await browser.close();
  await up.killAll();
  await rm(folder, { recursive: true, force: true });
}
