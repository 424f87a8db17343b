/** What YAML makes of a configuration file, beyond what JSON has. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Config, loadConfig } from '../../lib/config/load.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { withFolder } from '../helpers/store-values.ts';

async function load(text: string): Promise<Config> {
  const loaded: Config[] = [];
  await withFolder(async (folder) => {
    const file = join(folder, 'some.yaml');
    await writeFile(file, text);
    loaded.push((await loadConfig({ env: { HOME: '/home/u' }, file })).config);
  });
  return loaded[0] as Config;
}

async function complaint(text: string): Promise<string> {
  return (await rejectsWith(load(text), 'BAD_CONFIG')).describe();
}

test('a value that brackets turn into a name is shown nowhere', async () => {
  const warnings: string[] = [];
  const listen = ({ message }: Error) => warnings.push(message);
  process.on('warning', listen);
  try {
    for (const text of [
      'feServerConfigs:\n  keyringPassphrase: {{hush}}',
      'feServerConfigs:\n  keyringPassphrase: { [hush]: x }',
      'feServerConfigs:\n  host: &hush [hush]\n  *hush : x',
    ]) {
      const said = await complaint(text);
      assert.match(said, /some\.yaml:[23]:\d+: a name is in brackets/);
      assert.doesNotMatch(said, /hush/);
    }
    await new Promise(setImmediate);
    assert.deepEqual(warnings, []);
  } finally {
    process.off('warning', listen);
  }
});

test('a number is taken where its digits are a value', async () => {
  const config = await load('feServerConfigs: { tlsMinVersion: 1.2, allowOpen: 1, auth: none }');
  assert.equal(config.feServerConfigs.tlsMinVersion, '1.2');
  assert.equal(config.feServerConfigs.allowOpen, true);
  assert.match(await complaint('feServerConfigs: { allowOpen: 2 }'), /expected true or false/);
  assert.match(await complaint('feServerConfigs: { tlsMinVersion: 1 }'), /expected one of 1\.3/);
});

test('a section that is no plain list of settings is refused, never dropped', async () => {
  for (const section of ['!!omap\n  - port: 1', '!!set\n  ? port', '!!binary aGk=']) {
    const said = await complaint(`feServerConfigs: ${section}`);
    assert.match(said, /feServerConfigs: expected settings, as \{ name: value \}/);
  }
  assert.match(await complaint('!!omap\n- log: { level: warn }'), /expected sections/);
});
