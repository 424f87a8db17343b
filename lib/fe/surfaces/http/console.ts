/**
 * The console: the page at `/`, from the files of `web/`, and what it asks the server about itself.
 * Everything else it does goes through the same routes as for any other client.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isKnown, isNobody } from '../../../access.ts';
import { VERSION } from '../../../version.ts';
import { problemOf, REFUSALS } from './failures-document.ts';
import type { HttpApp, HttpHost } from './host.ts';
import * as schemas from './schemas.ts';

/** The page loads only from here and calls only here; no inline script or style is allowed. */
const CONSOLE_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ');

const FOLDER = fileURLToPath(new URL('../../../../../web', import.meta.url));
const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};
const PAGE = 'index.html';

export function addConsole(app: HttpApp, host: HttpHost): void {
  const files = new Map(
    readdirSync(FOLDER).map((name) => [name, readFileSync(`${FOLDER}/${name}`)] as const),
  );
  app.get('/', { schema: { hide: true } }, (request, reply) => {
    if (!request.headers.accept?.toLowerCase().includes('text/html')) {
      return reply.send({ name: 'enc-server-ts', version: VERSION, documentation: '/docs' });
    }
    reply.header('content-security-policy', CONSOLE_CSP);
    return reply.header('content-type', TYPES['html']).send(files.get(PAGE));
  });
  for (const [name, bytes] of files) {
    if (name === PAGE) continue;
    const type = TYPES[name.split('.').at(-1) ?? ''] ?? 'application/octet-stream';
    app.get(`/console/${name}`, { schema: { hide: true } }, (_request, reply) =>
      reply.header('content-type', type).send(bytes),
    );
  }
  addStatus(app, host);
}

function addStatus(app: HttpApp, { state, limits }: HttpHost): void {
  const schema = {
    tags: ['server'],
    operationId: 'getStatus',
    summary: 'What the console shows of the server, and of who asks',
    description: 'Without a token where one is needed, only that; nothing of the store.',
    response: {
      ...REFUSALS,
      200: schemas.status,
      401: problemOf('The token that was sent is not valid.'),
    },
  };
  app.get('/v1/status', { schema }, async (request) => {
    const { caller, peer } = request.session;
    // A caller that may do nothing learns nothing but that.
    const needsToken = isNobody(caller);
    const about = {
      version: VERSION,
      tls: peer.secure,
      caller: isKnown(caller) ? caller.label : undefined,
      needsToken,
      recordBytesMax: limits.recordBytesMax,
    };
    if (needsToken) return about;
    const { missing, isBackEndThere, store } = await state();
    return { ...about, ready: missing.length === 0, backEnd: isBackEndThere, store };
  });
}
