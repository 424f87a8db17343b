import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readEnvironment, variableOf } from '../../lib/config/environment.ts';
import { loadConfig } from '../../lib/config/load.ts';
import { keysOf, SECTION_NAMES } from '../../lib/config/schema.ts';
import { EncServerError } from '../../lib/errors.ts';

const URI_VARIABLE = 'ENC_SERVER_TS_BESERVERCONFIGS_MONGOURI';
const URI = 'mongodb://user:hush@host';
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'environment-'));
});
after(async () => {
  await rm(folder, { recursive: true });
});

function load(env: NodeJS.ProcessEnv) {
  return loadConfig({ env: { HOME: '/home/u', ...env } });
}

async function secretFile(content: string): Promise<string> {
  const path = join(folder, 'secret');
  await writeFile(path, content);
  return path;
}

async function failure(env: NodeJS.ProcessEnv): Promise<string> {
  const error = await load(env).then(
    () => assert.fail('it loaded'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof EncServerError);
  assert.equal(error.code, 'BAD_CONFIG');
  assert.doesNotMatch(error.describe(), /hush/);
  return error.message;
}

describe('environment', () => {
  it('has a variable for every setting, each of its own', async () => {
    const seen = new Set<string>();
    for (const section of SECTION_NAMES) {
      for (const key of keysOf(section)) {
        const variable = variableOf(section, key);
        assert.match(variable, /^ENC_SERVER_TS_[A-Z]+_[A-Z]+$/);
        assert.ok(!seen.has(variable));
        seen.add(variable);
        const layer = await readEnvironment({ [variable]: 'some value' });
        assert.deepEqual({ ...layer.settings[section] }, { [key]: 'some value' });
        assert.equal(layer.place(section, key), `${variable} (${section}.${key})`);
        assert.deepEqual(layer.warnings, []);
      }
    }
  });

  it('sets numbers, booleans, sizes and times', async () => {
    const { config, warnings } = await load({
      ENC_SERVER_TS_FESERVERCONFIGS_PORT: '7001',
      ENC_SERVER_TS_FESERVERCONFIGS_ALLOWOPEN: 'true',
      ENC_SERVER_TS_BESERVERCONFIGS_RECORDBYTESMAX: '1MiB',
      ENC_SERVER_TS_BECLIENTCONFIGS_TIMEOUTMS: '2s',
      OTHER: 'variables are no business of ours',
    });
    assert.equal(config.feServerConfigs.port, 7001);
    assert.equal(config.feServerConfigs.allowOpen, true);
    assert.equal(config.beServerConfigs.recordBytesMax, 1_048_576);
    assert.equal(config.beClientConfigs.timeoutMs, 2000);
    assert.deepEqual(warnings, []);
  });

  it('names the variable whose value is wrong, without the value', async () => {
    const message = await failure({ ENC_SERVER_TS_FESERVERCONFIGS_PORT: 'hush' });
    assert.match(
      message,
      /^ENC_SERVER_TS_FESERVERCONFIGS_PORT \(feServerConfigs\.port\): expected/,
    );
    assert.match(await failure({ [URI_VARIABLE]: 'hush' }), /expected a connection string/);
    assert.match(await failure({ ENC_SERVER_TS_ALLOW_OPEN: 'hush' }), /ENC_SERVER_TS_ALLOW_OPEN/);
  });

  it('opens both servers at once, or one', async () => {
    const both = (await load({ ENC_SERVER_TS_ALLOW_OPEN: '1' })).config;
    assert.equal(both.feServerConfigs.allowOpen, true);
    assert.equal(both.beServerConfigs.allowOpen, true);
    const one = { ENC_SERVER_TS_ALLOW_OPEN: '1', ENC_SERVER_TS_BESERVERCONFIGS_ALLOWOPEN: 'no' };
    const { config } = await load(one);
    assert.equal(config.feServerConfigs.allowOpen, true);
    assert.equal(config.beServerConfigs.allowOpen, false);
  });

  it('says how to log', async () => {
    const { config } = await load({
      ENC_SERVER_TS_LOG_DIR: '',
      ENC_SERVER_TS_LOG_FILEBYTESMAX: '64KiB',
      ENC_SERVER_TS_LOG_FILESMAX: '0',
      ENC_SERVER_TS_LOG_STDOUT: 'False',
      ENC_SERVER_TS_LOG_LEVEL: 'debug',
    });
    assert.deepEqual(config.log, {
      dir: '',
      fileBytesMax: 65_536,
      filesMax: 0,
      stdout: false,
      stdoutGiven: true,
      level: 'debug',
    });
    assert.equal((await load({ ENC_SERVER_TS_LOG_STDOUT: '1' })).config.log.stdoutGiven, true);
    assert.equal((await load({ ENC_SERVER_TS_LOG_STDOUT: '' })).config.log.stdoutGiven, false);
    assert.match(await failure({ ENC_SERVER_TS_LOG_LEVEL: 'loud' }), /expected one of trace/);
  });

  it('takes an empty variable for none', async () => {
    const { config } = await load({ ENC_SERVER_TS_FESERVERCONFIGS_PORT: '', [URI_VARIABLE]: '' });
    assert.equal(config.feServerConfigs.port, 7777);
    assert.equal(config.beServerConfigs.store, 'level');
  });

  it('warns of variables that mean nothing, with the nearest that does', async () => {
    const { warnings } = await load({
      ENC_SERVER_TS_FESERVERCONFIGS_PROT: 'hush',
      ENC_SERVER_TS_CONFIG: 'hush',
      ENC_SERVER_TS_KEY: 'hush',
    });
    assert.deepEqual(warnings, [
      'ENC_SERVER_TS_CONFIG is no setting; the nearest is ENC_SERVER_TS_CONFIG_PATH',
      'ENC_SERVER_TS_FESERVERCONFIGS_PROT is no setting; ' +
        'the nearest is ENC_SERVER_TS_FESERVERCONFIGS_PORT',
    ]);
  });

  it('knows what Kubernetes sets for services of our name', async () => {
    const { warnings } = await load({
      ENC_SERVER_TS_BE_SERVICE_HOST: '10.0.0.1',
      ENC_SERVER_TS_BE_SERVICE_PORT: '8888',
      ENC_SERVER_TS_BE_SERVICE_PORT_WIRE: '8888',
      ENC_SERVER_TS_BE_PORT: 'tcp://10.0.0.1:8888',
      ENC_SERVER_TS_BE_PORT_8888_TCP: 'tcp://10.0.0.1:8888',
      ENC_SERVER_TS_BE_PORT_8888_TCP_PROTO: 'tcp',
      ENC_SERVER_TS_BE_PORT_8888_TCP_PORT: '8888',
      ENC_SERVER_TS_BE_PORT_8888_TCP_ADDR: '10.0.0.1',
    });
    assert.deepEqual(warnings, []);
    assert.equal((await load({ ENC_SERVER_TS_BE_PORT: '8888' })).warnings.length, 1);
  });
});

describe('secrets in files', () => {
  it('are read without their line end', async () => {
    for (const end of ['', '\n', '\r\n']) {
      const path = await secretFile(URI + end);
      const { config, warnings } = await load({ [`${URI_VARIABLE}_FILE`]: path });
      assert.equal(config.beServerConfigs.mongoURI, URI);
      assert.equal(config.beServerConfigs.store, 'mongo');
      assert.deepEqual(warnings, []);
    }
  });

  it('are errors where they are missing, empty, wrong, or given twice', async () => {
    const variable = `${URI_VARIABLE}_FILE`;
    const missing = join(folder, 'none');
    assert.equal(
      await failure({ [variable]: missing }),
      `${missing} (${variable}): there is no such file`,
    );
    for (const content of ['', '\n']) {
      const path = await secretFile(content);
      assert.equal(await failure({ [variable]: path }), `${path} (${variable}): it is empty`);
    }
    const both = { [variable]: await secretFile(URI), [URI_VARIABLE]: URI };
    assert.match(await failure(both), /MONGOURI and ENC_SERVER_TS_.*_FILE are both given/);
    const wrong = await failure({ [variable]: await secretFile('hush') });
    assert.match(
      wrong,
      /MONGOURI_FILE \(beServerConfigs\.mongoURI\): expected a connection string/,
    );
  });

  it('are not read where nobody uses them, or a flag gives the secret', async () => {
    const env = { HOME: '/home/u', ENC_SERVER_TS_TOKEN_FILE: join(folder, 'none') };
    await loadConfig({ env, flags: { beServerConfigs: {} } });
    const { config, warnings } = await loadConfig({
      env,
      flags: { feClientConfigs: { token: 'given' } },
    });
    assert.equal(config.feClientConfigs.token, 'given');
    assert.deepEqual(warnings, []);
    const used = loadConfig({ env, flags: { feClientConfigs: { token: undefined } } });
    await assert.rejects(used, { code: 'BAD_CONFIG' });
  });

  it('of sections that a program does not use stop nobody, but for unknown names', async () => {
    const env = {
      HOME: '/home/u',
      ENC_SERVER_TS_FESERVERCONFIGS_KEYRINGTRANSITTOKEN: 'hush',
      ENC_SERVER_TS_BESERVERCONFIGS_STORE: 'paper',
      ENC_SERVER_TS_BESERVERCONFIGS_MONGOURI: 'hush',
      ENC_SERVER_TS_TESTPARAMS_ID: '\n',
      ENC_SERVER_TS_LOG_LEVEL: 'loud',
    };
    const text = '{"beServerConfigs": {"auditLog": "/a"}, "feServerConfigs": {"port": -1}}';
    const file = join(folder, 'wrong.json');
    await writeFile(file, text);
    const flags = { feClientConfigs: { timeoutMs: '3s' } };
    const { config } = await loadConfig({ env, file, flags });
    assert.equal(config.feClientConfigs.timeoutMs, 3_000);
    assert.equal(config.feServerConfigs.port, 7777);
    for (const section of ['feServerConfigs', 'beServerConfigs', 'testParams', 'log']) {
      const used = loadConfig({ env, file, flags: { ...flags, [section]: {} } });
      await assert.rejects(used, { code: 'BAD_CONFIG' }, section);
    }
    await writeFile(file, '{"beServerConfigs": {"stroe": "level"}}');
    await assert.rejects(loadConfig({ env, file, flags }), /unknown key stroe/);
  });

  it('of the token have two names, of which one is given', async () => {
    const file = await secretFile('hush');
    const env = { ENC_SERVER_TS_TOKEN_FILE: file };
    assert.equal((await load(env)).config.feClientConfigs.token, 'hush');
    for (const more of ['TOKEN', 'TOKEN_FILE']) {
      const other = `ENC_SERVER_TS_FECLIENTCONFIGS_${more}`;
      const said = await failure({ ...env, [other]: more === 'TOKEN' ? 'hush' : file });
      assert.equal(said, `${other} and ENC_SERVER_TS_TOKEN_FILE are both given`);
    }
  });

  it('exist for secrets only', async () => {
    const { warnings } = await load({ ENC_SERVER_TS_FESERVERCONFIGS_PORT_FILE: '/x' });
    assert.equal(warnings.length, 1);
  });
});
