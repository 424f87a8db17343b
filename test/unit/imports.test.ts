import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { importBreaches, sourcesIn } from '../helpers/import-rules.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** The breaches of a tree of these files. */
function breachesIn(files: Readonly<Record<string, string>>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'enc-server-ts-'));
  try {
    for (const folder of ['lib', 'bin']) mkdirSync(join(root, folder));
    for (const [path, source] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), source);
    }
    return importBreaches(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test('imports point down, and each power stays in its room', () => {
  assert.ok(sourcesIn(ROOT, 'lib').length > 50);
  assert.deepEqual(importBreaches(ROOT), []);
});

const PLANTED: readonly [title: string, file: string, source: string][] = [
  ['an import that points up', 'lib/net/lane.ts', "import { startBe } from '../be/server.ts';"],
  ['a type alone', 'lib/protocol/frame.ts', "import type { A } from '../net/lane.ts';"],
  ['an export from above', 'lib/errors.ts', "export { log } from './log.ts';"],
  ['a dynamic import', 'lib/store/open.ts', "await import(\n  '../fe/server.ts');"],
  ['an import for its effect', 'lib/config/load.ts', "import '../cli/up.ts';"],
  ['a room beside', 'lib/net/port.ts', "import { openStore } from '../store/open.ts';"],
  ['the store in FE', 'lib/fe/service.ts', "import { TABLE } from '../store/store.ts';"],
  ['more of BE in FE', 'lib/fe/server.ts', "import { tokenKey } from '../be/token-key.ts';"],
  ['crypto in BE', 'lib/be/surfaces/text.ts', "import { open } from '../../crypto/aead.ts';"],
  ['the driver', 'lib/be/service.ts', "const { MongoClient } = await import('mongodb');"],
  ['a cipher', 'lib/be/service.ts', "import { createDecipheriv } from 'node:crypto';"],
  ['another cipher', 'lib/fe/service.ts', "import { gcm } from '@noble/ciphers/aes.js';"],
  ['zod', 'lib/be/service.ts', "import { z } from 'zod';"],
  ['an exit', 'lib/fe/server.ts', 'process.exit(1);'],
  ['standard output', 'lib/store/open.ts', "process.stdout.write('x');"],
  ['the environment', 'lib/net/port.ts', "const x = process.env['X'];"],
  ['a file in no room', 'lib/helpers.ts', 'export const x = 1;'],
];

for (const [title, file, source] of PLANTED) {
  test(`a breach is caught: ${title}`, () => {
    const breaches = breachesIn({ [file]: source });
    assert.equal(breaches.length, 1, breaches.join('\n'));
    assert.ok(breaches[0]?.startsWith(file));
  });
}

test('what is allowed is no breach, nor is what only a comment says', () => {
  const breaches = breachesIn({
    'lib/fe/server.ts': "import { BeClient } from '../be/client.ts';\nimport './service.ts';",
    'lib/be/client.ts': "import { TABLE } from '../store/store.ts';\n// process.exit(1)",
    'lib/crypto/aead.ts': "import { createCipheriv } from 'node:crypto';",
    'lib/store/mongo.ts': "import('mongodb'); /* process.env */",
    'bin/fe-server.ts': "import { runFeServer } from '../lib/cli/server.ts';",
  });
  assert.deepEqual(breaches, []);
});
