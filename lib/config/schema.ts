/**
 * Every setting with its bounds, its default and its description, in one place: `docs/CONFIG.md`,
 * the names of the environment variables and the errors are all derived from it.
 */

import { z } from 'zod';
import { address, choice, count, flag, type KeyFacts, registry, size, text } from './fields.ts';
import {
  AUDITS_SOMEWHERE,
  AUDITS_WHOLE,
  auditsSomewhere,
  auditsWhole,
  caller,
  dataDir,
  HOLDS_LONGEST_RECORD,
  holdsLongestRecord,
  timeoutMs,
  transport,
} from './shared-settings.ts';
import { STORE_KINDS } from './store-kinds.ts';
import { ENOUGH_FOR_WORKERS, enoughForWorkers } from './worker-share.ts';

const MIB = 1024 * 1024;
const WORKERS_MAX = 64;
/** `*`, a name, or `.` and a name; an IPv6 address is always known, and does no harm. */
const HOST_NAME = String.raw`(?:\*|\.?[\w-]+(?:\.[\w-]+)*\.?|\[[\da-fA-F:.]+\]|[\da-fA-F]*:[\da-fA-F]*:[\da-fA-F:.]*)`;
const HOST_NAMES = new RegExp(`^[\\s,]*(?:${HOST_NAME}(?:[\\s,]+${HOST_NAME})*[\\s,]*)?$`);
const MONGO_URI = /^mongodb(?:\+srv)?:\/\/\S+$/;

/** Whoever gives a token for it wants the keyring sealed, and would take an open one for that. */
function namesKeyService(section: { keyringTransitUrl: string; keyringTransitToken: string }) {
  return section.keyringTransitUrl !== '' || section.keyringTransitToken === '';
}

const NAMES_KEY_SERVICE = {
  path: ['keyringTransitToken'],
  message: 'expected keyringTransitUrl, too: the URL of the key service',
};

/** One schema for each section, in the order of `docs/CONFIG.md`. */
export const SECTIONS = {
  feClientConfigs: z.strictObject({
    serverAddr: address('localhost:7777', 'The front end that clients call.'),
    timeoutMs: timeoutMs('For a whole request.'),
    ...caller(),
  }),

  feServerConfigs: z
    .strictObject({
      ...transport(7777, 'admin=admin'),
      workers: count(
        1,
        WORKERS_MAX,
        1,
        'Processes that serve the port. `requestsMax`, `bytesInFlightMax` and `handshakesMax` are ' +
          'divided among them, so that one connection has the part of one worker; the other ' +
          'bounds hold for all together (docs/SCALING.md). More than 1 excludes `auditLog`.',
      ),
      dataDir: dataDir('the front end has `fe/` in it'),
      keyring: text('', {
        about: 'The file of the keyring. Back it up: without it, no record can be found any more.',
        expects: 'the path of a file',
        fallback: '`fe/keyring.json` in `dataDir`',
      }),
      keyringPassphrase: text('', {
        about:
          'The passphrase that opens the keyring, and seals one that is made: its secrets do not ' +
          'lie in the file then. `enc-server keys provider` changes a keyring that is there.',
        expects: 'text on one line',
        fallback: 'none',
        secret: true,
      }),
      keyringTransitUrl: text(
        '',
        {
          about:
            'A key service that opens the keyring, and seals one that is made: the transit engine ' +
            'of Vault or OpenBao, or one with the same interface. If `keyringPassphrase` is given, ' +
            'too, the file says which of them opens it, and a new one is sealed by the key service.',
          expects: 'a URL such as https://vault.example:8200/v1/transit',
          fallback: 'none',
        },
        /^(?:https?:\/\/[^\s@?#]+)?$/,
      ),
      keyringTransitKey: text(
        'enc-server-ts',
        { about: "The name of the key in the key service's engine.", expects: 'a name' },
        /^[\w.-]{1,128}$/,
      ),
      keyringTransitToken: text(
        '',
        {
          about: 'The token for the key service, sent as `X-Vault-Token`.',
          expects: 'a token',
          fallback: 'none',
          secret: true,
        },
        /^[\x21-\x7e]*$/,
      ),
      keyringTransitCa: text('', {
        about: 'The authority of the key service (PEM).',
        expects: 'the path of a file',
        fallback: "the system's authorities",
      }),
      textEncoding: choice(
        ['raw', 'hex'],
        'raw',
        'How IDs and records stand in text lines. `hex` is for clients of the Go original.',
      ),
      writePolicy: choice(
        ['auto', 'open', 'key-proof'],
        'auto',
        'What it takes to replace or delete a record: `open` an ID, as in the rest of the family; ' +
          "`key-proof` the record's current key. `auto` is `open` on loopback, else `key-proof`.",
      ),
      uniformErrors: flag(
        false,
        'Answer a wrong key as if there were no record, so that nobody learns which IDs exist.',
      ),
      allowedHosts: text(
        '',
        {
          about:
            'Names that HTTP clients may call this server by, besides `host`, `localhost` and ' +
            'addresses, so no other page in a browser can. `.example` is all names below it, ' +
            '`*` any name, for a proxy in front that checks them.',
          expects: 'names without ports, with commas between them',
          fallback: 'none',
        },
        HOST_NAMES,
      ),
    })
    .refine(holdsLongestRecord, HOLDS_LONGEST_RECORD)
    .refine(auditsWhole, AUDITS_WHOLE)
    .refine(auditsSomewhere, AUDITS_SOMEWHERE)
    .refine(namesKeyService, NAMES_KEY_SERVICE)
    .refine(enoughForWorkers, ENOUGH_FOR_WORKERS),

  beServerConfigs: z
    .strictObject({
      ...transport(8888, 'fe=frontend, admin=admin'),
      store: choice(
        STORE_KINDS,
        'level',
        'Where records are kept: an embedded LevelDB folder, memory only, or MongoDB. ' +
          'If `mongoURI` is given and `store` is not, it is `mongo`; ' +
          'if another store is given at the same place, `mongoURI` is ignored, with a warning.',
      ),
      dataDir: dataDir('the back end has `be/` in it'),
      mongoURI: text(
        'mongodb://localhost:27017',
        {
          about: 'The connection string of MongoDB.',
          expects: 'a connection string, mongodb://… or mongodb+srv://…',
          fallback: 'mongodb://localhost:27017',
          secret: true,
        },
        MONGO_URI,
      ),
      mongoDatabase: text(
        'enc-server-ts',
        {
          about: 'The database in MongoDB.',
          expects: 'a name of 1 to 63 letters, digits, - and _',
          fallback: 'enc-server-ts',
        },
        /^[A-Za-z0-9_-]{1,63}$/,
      ),
    })
    .refine(holdsLongestRecord, HOLDS_LONGEST_RECORD)
    .refine(auditsWhole, AUDITS_WHOLE)
    .refine(auditsSomewhere, AUDITS_SOMEWHERE),

  beClientConfigs: z.strictObject({
    serverAddr: address('localhost:8888', 'The back end that the front end and clients call.'),
    timeoutMs: timeoutMs(
      'For a whole request of be-client. In a front end, whose requests have the time of their ' +
        'callers: to connect to the back end; a link silent for half of it is given up.',
    ),
    ...caller(),
    smallConnections: count(1, 1024, 2, 'Connections for records up to 64 KiB.'),
    bulkConnections: count(1, 1024, 1, 'Connections for larger records.'),
    dialect: choice(
      ['frames', 'go-v1', 'go-v2', 'python'],
      'frames',
      'How the front end speaks to its back end: in binary frames, or in a dialect of the ' +
        "family's other programs, which do less (docs/INTEROP.md).",
    ),
  }),

  testParams: z.strictObject({
    id: text('trial', { about: 'The user ID of the trial.', fallback: 'trial' }, /^[^\p{Cc}]+$/u),
    record: text('The quick brown fox jumps over the lazy dog.', {
      about: 'The record of the trial.',
    }),
  }),

  log: z.strictObject({
    dir: text('/tmp/enc-server-ts-logs', {
      about: 'The folder of the log files, one for each start of a server; empty for no files.',
      expects: 'the path of a folder, or nothing for no files',
      fallback: '`/tmp/enc-server-ts-logs`',
      emptyIsValue: true,
    }),
    fileBytesMax: size(
      0,
      1024 * MIB,
      16 * MIB,
      'A log file that reaches this size is followed by another; 0 for no bound.',
    ),
    filesMax: count(
      0,
      100_000,
      10,
      'Log files of one server kept in the folder: beyond that the oldest are removed, but never ' +
        'one of another running server. 0 for no bound.',
    ),
    stdout: flag(true, 'Whether servers also log to standard output.'),
    level: choice(
      ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
      'info',
      'What is logged: this level and the ones after it.',
    ),
  }),
} as const;

export type SectionName = keyof typeof SECTIONS;

export const SECTION_NAMES = Object.keys(SECTIONS) as SectionName[];

const { feClientConfigs, feServerConfigs, beServerConfigs, beClientConfigs, testParams, log } =
  SECTIONS;

/** The whole configuration; a section that is left out has its defaults. */
export const configSchema = z.strictObject({
  feClientConfigs: feClientConfigs.prefault({}),
  feServerConfigs: feServerConfigs.prefault({}),
  beServerConfigs: beServerConfigs.prefault({}),
  beClientConfigs: beClientConfigs.prefault({}),
  testParams: testParams.prefault({}),
  log: log.prefault({}),
});

export type ParsedConfig = z.output<typeof configSchema>;

/** One thing that is wrong with a configuration. */
export type Issue = z.core.$ZodIssue;

/** The names of a section's settings; none if there is no such section. */
export function keysOf(section: string): string[] {
  return Object.keys(shapeOf(section));
}

function shapeOf(section: string): Record<string, z.ZodType> {
  return Object.hasOwn(SECTIONS, section) ? SECTIONS[section as SectionName].shape : {};
}

/** The facts of a setting; undefined if `section` has no such key. */
export function factsOf(section: string, key: string): KeyFacts | undefined {
  const type = keysOf(section).includes(key) ? shapeOf(section)[key] : undefined;
  return type && registry.get(type);
}
