import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { loadConfig } from '../../lib/config/load.ts';
import { redactUri } from '../../lib/config/redact.ts';
import { keysOf, SECTION_NAMES } from '../../lib/config/schema.ts';
import { EncServerError } from '../../lib/errors.ts';
import { drawInput } from '../helpers/random-input.ts';

// Each input is a file.
drawInput(7777, 100);

let folder: string;
let file: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'config-fuzz-'));
  file = join(folder, 'config.json');
});
after(() => {
  rmSync(folder, { recursive: true });
});

/** The configuration that the text gives, or the words of its BAD_CONFIG. Nothing else happens. */
async function outcome(content: string | Uint8Array): Promise<object | string> {
  writeFileSync(file, content);
  try {
    return (await loadConfig({ file, env: { HOME: '/home/u' } })).config;
  } catch (thrown) {
    assert.ok(thrown instanceof EncServerError, String(thrown));
    assert.equal(thrown.code, 'BAD_CONFIG');
    assert.ok(thrown.message.startsWith(file), thrown.message);
    return thrown.message;
  }
}

const SECRET = 'hush-hush';
const names = [...SECTION_NAMES, ...SECTION_NAMES.flatMap(keysOf), '__proto__', 'idKeyStr'];
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom('8MiB', '10s', 'true', '7777', `mongodb://u:${SECRET}@h`, SECRET, [SECRET]),
);
const name = fc.oneof(fc.constantFrom(...names), fc.string());
const config = fc.dictionary(name, fc.oneof(value, fc.dictionary(name, value, { maxKeys: 4 })), {
  maxKeys: 3,
});

describe('any file', () => {
  it('of bytes loads or is BAD_CONFIG', async () => {
    const bytes = fc.uint8Array({ maxLength: 64 });
    await fc.assert(fc.asyncProperty(bytes, async (content) => void (await outcome(content))));
  });

  it('of near-YAML loads or is BAD_CONFIG', async () => {
    const pieces = [
      '{',
      '}',
      '[',
      ']',
      ':',
      ',',
      '"',
      "'",
      '\n',
      ' ',
      '\t',
      '- ',
      '#',
      '&a ',
      '*a',
    ];
    const text = fc.array(fc.constantFrom(...pieces, '!x ', '|', '---', '<<', 'log', 'level', '1'));
    const joined = text.map((parts) => parts.join(''));
    await fc.assert(fc.asyncProperty(joined, async (content) => void (await outcome(content))));
  });

  it('of settings loads or is BAD_CONFIG, and an error never shows a value', async () => {
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(config, async (settings) => {
        const result = await outcome(JSON.stringify(settings));
        if (typeof result !== 'string') return;
        refused++;
        assert.ok(!result.includes(SECRET), result);
      }),
    );
    assert.ok(refused > 0);
  });

  it('of nothing but brackets is BAD_CONFIG, however deep', async () => {
    for (const bracket of ['[', '{"a":', '- ', '? ', '-\t', ': ']) {
      assert.equal(typeof (await outcome(bracket.repeat(20_000))), 'string');
    }
    assert.equal(typeof (await outcome('['.repeat(20_000) + ']'.repeat(20_000))), 'string');
    const steps = Array.from({ length: 2_000 }, (_none, depth) => `${' '.repeat(depth)}a:\n`);
    assert.equal(typeof (await outcome(steps.join(''))), 'string');
  });

  it('that expands its aliases without bound is BAD_CONFIG', async () => {
    const lines = ['a: &a [x, x, x, x, x, x, x, x, x]'];
    for (const [letter, before] of ['ba', 'cb', 'dc', 'ed', 'fe', 'gf', 'hg', 'ih'] as const) {
      lines.push(`${letter}: &${letter} [${new Array(9).fill(`*${before}`).join(', ')}]`);
    }
    assert.equal(typeof (await outcome(lines.join('\n'))), 'string');
  });
});

describe('any connection string', () => {
  it('is shown without its password', () => {
    const password = fc.string({ minLength: 1 }).map((tail) => `${SECRET}${tail}${SECRET}`);
    const scheme = fc.constantFrom('mongodb://', 'mongodb+srv://', 'mongodb:', '');
    fc.assert(
      fc.property(scheme, password, (start, secret) => {
        const shown = redactUri(`${start}user:${secret}@h1:27017,h2/db`);
        assert.ok(!shown.includes(SECRET), shown);
        assert.ok(shown.endsWith('@h1:27017,h2/db'), shown);
      }),
    );
  });

  it('never makes it throw', () => {
    fc.assert(fc.property(fc.string(), (uri) => void redactUri(uri)));
  });
});
