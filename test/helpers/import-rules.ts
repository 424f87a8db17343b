/** Who may import whom, and a walker that finds breaches. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';

/** Room to level; a file may import from its own room and from lower levels. */
export const LEVEL_OF_ROOM: Readonly<Record<string, number>> = {
  'lib/errors.ts': 0,
  'lib/access.ts': 1,
  'lib/describe-errors.ts': 1,
  'lib/durable-file.ts': 1,
  'lib/file-error.ts': 1,
  'lib/version.ts': 0,
  'lib/key-input.ts': 0,
  'lib/transient.ts': 0,
  'lib/log.ts': 1,
  'lib/log-file.ts': 1,
  'lib/log-scrub.ts': 1,
  'lib/metrics.ts': 1,
  'lib/metrics-merge.ts': 1,
  'lib/parent-process.ts': 1,
  'lib/secret-file.ts': 1,
  'lib/socket-lock.ts': 1,
  'lib/config': 1,
  'lib/protocol': 1,
  'lib/crypto': 1,
  'lib/net': 2,
  'lib/store': 2,
  'lib/auth': 2,
  'lib/audit': 2,
  'lib/be': 3,
  'lib/backup': 4,
  'lib/fe': 4,
  'lib/cli': 5,
  bin: 6,
};

/** What may be found only in these places. */
const ONLY_IN: readonly { readonly what: string; readonly pattern: RegExp; in: RegExp }[] = [
  {
    what: 'the mongodb driver',
    pattern: /['"]mongodb['"]/,
    in: /^lib\/store\/mongo[a-z-]*\.ts$/,
  },
  {
    what: 'a cipher',
    pattern: /@noble\/|\b(?:create(?:C|Dec)ipher(?:iv)?|publicEncrypt|privateDecrypt)\b/,
    in: /^lib\/crypto\//,
  },
  {
    what: 'zod',
    pattern: /['"](?:zod|fastify-type-provider-zod)['"]/,
    in: /^lib\/(?:config|[bf]e\/surfaces\/http)\//,
  },
  { what: 'process.exit', pattern: /\bprocess\.exit\b/, in: /^lib\/cli\// },
  // Servers log to standard output; the log is the one who writes it.
  { what: 'standard output', pattern: /\bprocess\.stdout\b/, in: /^lib\/(?:cli\/|log\.ts$)/ },
  { what: 'the environment', pattern: /\bprocess\.env\b/, in: /^lib\/(?:cli|config)\// },
];

/** All breaches below `root`, a folder with `lib` and `bin`, one line each. */
export function importBreaches(root: string): string[] {
  const files = [...sourcesIn(root, 'lib'), ...sourcesIn(root, 'bin')];
  return files.flatMap((file) =>
    breachesOf(file, withoutComments(readFileSync(join(root, file), 'utf8'))),
  );
}

export function sourcesIn(root: string, folder: string): string[] {
  const found = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  return found
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .sort();
}

function breachesOf(file: string, source: string): string[] {
  const breaches: string[] = [];
  for (const { what, pattern, in: place } of ONLY_IN) {
    if (pattern.test(source) && !place.test(file)) breaches.push(`${file}: ${what} is not for it`);
  }
  const level = levelOf(file);
  if (level === undefined) return [...breaches, `${file}: belongs to no room`];
  for (const imported of importsOf(file, source)) {
    const words = wrongImport(file, level, imported);
    if (words !== undefined) breaches.push(`${file} imports ${imported}: ${words}`);
  }
  return breaches;
}

function wrongImport(file: string, level: number, imported: string): string | undefined {
  const importedLevel = levelOf(imported);
  if (importedLevel === undefined) return 'which belongs to no room';
  const sameRoom = roomOf(file) === roomOf(imported);
  const sibling = level === 2 && importedLevel === 2 && !sameRoom;
  if (!sameRoom && (importedLevel > level || sibling)) return 'which lies higher, or beside it';
  if (file.startsWith('lib/fe/') && imported.startsWith('lib/store/')) return 'FE never stores';
  if (
    file.startsWith('lib/fe/') &&
    imported.startsWith('lib/be/') &&
    !BE_CLIENT.includes(imported)
  ) {
    return 'FE knows only the client of BE';
  }
  if (file.startsWith('lib/be/') && imported.startsWith('lib/crypto/')) return 'BE never decrypts';
  return undefined;
}

/** Our own client, and that of any back end. */
const BE_CLIENT = ['lib/be/client.ts', 'lib/be/back-end.ts'];

/** Relative imports, exports and dynamic imports, as paths from the root. */
function importsOf(file: string, source: string): string[] {
  const pattern = /(?:\bfrom\s+|\bimport\s*\(\s*|\bimport\s+)['"](\.[^'"]+)['"]/g;
  return [...source.matchAll(pattern)].map(([, path = '']) => posix.join(dirname(file), path));
}

function roomOf(file: string): string | undefined {
  return Object.keys(LEVEL_OF_ROOM).find((room) => file === room || file.startsWith(`${room}/`));
}

function levelOf(file: string): number | undefined {
  const room = roomOf(file);
  return room === undefined ? undefined : LEVEL_OF_ROOM[room];
}

/** Comments may speak of what the code may not use. */
function withoutComments(source: string): string {
  return source.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1');
}
