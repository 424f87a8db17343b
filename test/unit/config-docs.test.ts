import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { describeConfig } from '../../lib/config/describe.ts';
import { loadConfig } from '../../lib/config/load.ts';
import { keysOf, SECTION_NAMES } from '../../lib/config/schema.ts';

const ROOT = new URL('../../../', import.meta.url);
const PAGE = new URL('docs/CONFIG.md', ROOT);

describe('docs/CONFIG.md', () => {
  it('is what the schema says', () => {
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PAGE, describeConfig());
    const hint = 'out of date: npm run docs:config writes it anew';
    assert.equal(readFileSync(PAGE, 'utf8'), describeConfig(), hint);
  });

  it('names every setting', () => {
    const page = describeConfig();
    for (const section of SECTION_NAMES) {
      assert.ok(keysOf(section).length > 0);
      for (const key of keysOf(section)) assert.ok(page.includes(`| \`${key}\` |`), key);
    }
  });
});

describe('config/*.json', () => {
  const files = readdirSync(new URL('config/', ROOT)).filter((name) => name.endsWith('.json'));
  const load = async (name: string) => {
    const file = fileURLToPath(new URL(`config/${name}`, ROOT));
    return (await loadConfig({ file, env: { HOME: '/home/u' } })).config;
  };

  it('all load without a warning and hold neither password nor key', async () => {
    assert.deepEqual(files.sort(), [
      'config.cmd.json',
      'config.compose.json',
      'config.json',
      'config.kube.json',
    ]);
    for (const name of files) {
      const path = new URL(`config/${name}`, ROOT);
      const { warnings } = await loadConfig({
        file: fileURLToPath(path),
        env: { HOME: '/home/u' },
      });
      assert.deepEqual(warnings, [], name);
      assert.doesNotMatch(
        readFileSync(path, 'utf8'),
        /@|[0-9a-f]{16}|password|secret|\bkey/i,
        name,
      );
    }
  });

  it('config.json is the embedded store on loopback', async () => {
    const config = await load('config.json');
    assert.equal(config.beServerConfigs.store, 'level');
    assert.equal(config.feServerConfigs.host, 'localhost');
    assert.equal(config.beServerConfigs.host, 'localhost');
    assert.equal(config.feServerConfigs.allowOpen, false);
  });

  it('config.cmd.json is MongoDB on this machine', async () => {
    const config = await load('config.cmd.json');
    assert.equal(config.beServerConfigs.store, 'mongo');
    assert.equal(config.beServerConfigs.mongoURI, 'mongodb://localhost:27017');
  });

  it('config.compose.json and config.kube.json reach the back end by its service', async () => {
    for (const [name, address] of [
      ['config.compose.json', 'be:8888'],
      ['config.kube.json', 'enc-server-ts-be:8888'],
    ] as const) {
      const config = await load(name);
      assert.equal(config.beClientConfigs.serverAddr, address);
      assert.equal(config.beServerConfigs.store, 'mongo');
      assert.equal(config.feServerConfigs.host, '0.0.0.0');
      assert.equal(config.feServerConfigs.allowOpen, true);
    }
  });
});
