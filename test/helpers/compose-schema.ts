/**
 * The part of the Compose specification that docker-compose.yml uses, with nothing else allowed:
 * a misspelt name is an error here, as it is in Compose.
 * https://github.com/compose-spec/compose-spec/blob/main/spec.md
 */
import { z } from 'zod';

const words = z.array(z.string().min(1)).min(1);
const duration = z.string().regex(/^\d+[smh]$/);
const name = z.string().regex(/^[a-z][a-z0-9-]*$/);

const service = z.strictObject({
  image: z.string().regex(/^[a-z][a-z0-9-]*:[\w.]+$/),
  build: z.strictObject({ context: z.literal('.'), target: name }).optional(),
  entrypoint: words.optional(),
  command: words.optional(),
  user: z
    .string()
    .regex(/^\d+:\d+$/)
    .optional(),
  environment: z.record(z.string().regex(/^[A-Z_]+$/), z.string()).optional(),
  depends_on: z
    .record(
      name,
      z.strictObject({
        condition: z.enum(['service_started', 'service_healthy', 'service_completed_successfully']),
      }),
    )
    .optional(),
  volumes: z.array(z.string().regex(/^[\w./-]+:\/[\w./-]+(?::ro)?$/)).optional(),
  tmpfs: z.array(z.string().startsWith('/')).optional(),
  networks: z.array(name).optional(),
  network_mode: z.string().optional(),
  ports: z.array(z.string().regex(/^127\.0\.0\.1:\d+:\d+$/, 'loopback only')).optional(),
  healthcheck: z
    .strictObject({
      test: z.tuple([z.literal('CMD'), z.string()], z.string()),
      interval: duration,
      timeout: duration,
      start_period: duration,
    })
    .optional(),
  restart: z.enum(['unless-stopped']).optional(),
  stop_grace_period: duration.optional(),
  read_only: z.literal(true),
  cap_drop: z.tuple([z.literal('ALL')]),
  cap_add: z.array(z.enum(['CHOWN', 'DAC_OVERRIDE'])).optional(),
  security_opt: z.tuple([z.literal('no-new-privileges:true')]),
  logging: z.strictObject({
    driver: z.literal('json-file'),
    options: z.strictObject({ 'max-size': z.string(), 'max-file': z.string() }),
  }),
});

export type ComposeService = z.output<typeof service>;

export const composeSchema = z
  .object({
    name,
    services: z.record(name, service),
    networks: z.record(name, z.strictObject({ internal: z.boolean().optional() })),
    volumes: z.record(name, z.strictObject({})),
  })
  .catchall(z.unknown())
  .refine(
    (file) =>
      Object.keys(file).every(
        (key) => key.startsWith('x-') || ['name', 'services', 'networks', 'volumes'].includes(key),
      ),
    'unknown top-level name',
  );
