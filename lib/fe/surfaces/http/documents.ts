/** `/openapi.json`, made from the schemas, and `/docs`, the page where its examples can be run. */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { jsonSchemaTransform } from 'fastify-type-provider-zod';
import { VERSION } from '../../../version.ts';
import { COMMON_FAILURES, completeAnswers } from './failures-document.ts';
import type { HttpApp } from './host.ts';

/** The page may load only from here and call only here; no inline script is allowed. */
const DOCS_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const DESCRIPTION =
  'Every record is sealed under a key that only its caller has. The answer to a `PUT` or `POST` ' +
  'of a record has that key; nothing else does. The examples on this page share a key that was ' +
  'drawn when the server started, and that anyone can read here: keep nothing under it. ' +
  'What is no HTTP/1.1 request, or comes on one connection too many, is answered with problem ' +
  'details, whatever it was for.';

/** Call this before the routes are added, so that it sees them. */
export async function addDocuments(app: HttpApp): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'enc-server-ts',
        version: VERSION,
        description: DESCRIPTION,
        license: { name: 'MIT', identifier: 'MIT' },
      },
      components: {
        responses: COMMON_FAILURES,
        securitySchemes: {
          token: {
            type: 'http',
            scheme: 'bearer',
            description: 'An access token; only where the server asks for one.',
          },
        },
      },
      security: [{}, { token: [] }],
      tags: [
        { name: 'records', description: 'Records of any bytes.' },
        { name: 'data', description: 'Texts under numbers, sealed under keys that we keep.' },
        { name: 'records (Go client)', description: 'As the Go front end has it.' },
        { name: 'server', description: 'Probes and metrics.' },
      ],
    },
    exposeHeadRoutes: true,
    transform: describeRoute,
    transformObject: completeAnswers,
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: DOCS_CSP,
    theme: { title: 'enc-server-ts' },
    uiConfig: {
      // Without the bar for loading a document from elsewhere.
      layout: 'BaseLayout',
      deepLinking: true,
      tryItOutEnabled: true,
      displayRequestDuration: true,
    },
  });
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
}

/** HEAD is described only where it has a description of its own. */
function describeRoute(described: Parameters<typeof jsonSchemaTransform>[0]) {
  const { route, url } = described;
  const hide = route.method === 'HEAD' && !/^\/v1\/record(?:$|s\/)/.test(url);
  // The plugin adds a suffix to the name of HEAD, in case it has that of GET.
  const operationId = described.schema?.operationId?.replace(/-head$/, '');
  const schema = {
    ...described.schema,
    ...(operationId && { operationId }),
    ...(hide && { hide }),
  };
  return jsonSchemaTransform({ ...described, schema });
}
