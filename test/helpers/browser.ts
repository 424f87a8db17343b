/** A browser that looks at the console, and everything that it sends. */
import { existsSync } from 'node:fs';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

const CANDIDATES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const PROGRAM = process.env['CHROMIUM'] ?? CANDIDATES.find((path) => existsSync(path));

/** Why tests that need a browser are skipped; undefined where there is one. */
export const NO_BROWSER: string | undefined =
  PROGRAM === undefined ? 'no browser: install chromium, or name it in CHROMIUM' : undefined;

/** Call it only where {@link NO_BROWSER} is undefined. */
export async function openBrowser(): Promise<Browser> {
  const isRoot = process.getuid?.() === 0;
  return await chromium.launch({
    executablePath: PROGRAM as string,
    // Its sandbox does not run as root.
    args: isRoot ? ['--no-sandbox'] : [],
  });
}

/** A page, and what left it. */
export interface Watched {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Every URL that was asked for, with the fragment cut off as on the wire. */
  readonly urls: string[];
  /** What the console said, and errors of the page. */
  readonly complaints: string[];
}

export async function openPage(
  browser: Browser,
  options: Parameters<Browser['newContext']>[0] = {},
): Promise<Watched> {
  const context = await browser.newContext({ acceptDownloads: true, ...options });
  const page = await context.newPage();
  const [urls, complaints]: [string[], string[]] = [[], []];
  page.on('request', (request) => urls.push(request.url()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    // What the server refuses on purpose is logged by the browser itself.
    const isRefusal = message.text().startsWith('Failed to load resource');
    if (['error', 'warning'].includes(message.type()) && !isRefusal)
      complaints.push(message.text());
  });
  return { page, context, urls, complaints };
}
