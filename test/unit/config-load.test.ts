import assert from 'node:assert/strict';
import { chmod, cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { limitsOf } from '../../lib/config/limits.ts';
import { type LoadOptions, loadConfig } from '../../lib/config/load.ts';
import { EncServerError } from '../../lib/errors.ts';
import { DEFAULT_LIMITS, limitsFor } from '../../lib/protocol/limits.ts';

const NAMES = ' ,vault, a-b.example .corp.example svc.local.,[::1], ::1 fe80::1, *,';
const HOME = { HOME: '/home/u' };
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'config-'));
});
after(async () => {
  await rm(folder, { recursive: true });
});

async function fileOf(text: string | Uint8Array, name = 'some.json'): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

async function loadText(text: string | Uint8Array, options: LoadOptions = {}) {
  return loadConfig({ env: HOME, ...options, file: await fileOf(text) });
}

async function failure(promise: Promise<unknown>): Promise<EncServerError> {
  const error = await promise.then(
    () => assert.fail('it loaded'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof EncServerError);
  assert.equal(error.code, 'BAD_CONFIG');
  return error;
}

async function complaint(text: string | Uint8Array, options?: LoadOptions): Promise<string> {
  return (await failure(loadText(text, options))).describe().replaceAll(folder, '');
}

describe('defaults', () => {
  it('are complete, and the limits of the wire are those of limits.ts', async () => {
    const { config, file, warnings } = await loadText('');
    assert.deepEqual(warnings, []);
    assert.equal(file, join(folder, 'some.json'));
    assert.deepEqual(limitsOf(config.feServerConfigs), DEFAULT_LIMITS);
    assert.deepEqual(limitsOf(config.beServerConfigs), DEFAULT_LIMITS);
    assert.equal(config.feServerConfigs.port, 7777);
    assert.equal(config.beServerConfigs.port, 8888);
    assert.equal(config.beServerConfigs.store, 'level');
    assert.equal(config.feServerConfigs.dataDir, '/home/u/.local/state/enc-server-ts');
    assert.equal(
      config.feServerConfigs.keyring,
      '/home/u/.local/state/enc-server-ts/fe/keyring.json',
    );
    assert.deepEqual(config.log, {
      dir: '/tmp/enc-server-ts-logs',
      fileBytesMax: 16 * 1024 * 1024,
      filesMax: 10,
      stdout: true,
      stdoutGiven: false,
      level: 'info',
    });
  });

  it('cannot be changed by whoever holds them', async () => {
    const { config } = await loadText('');
    const section = config.feServerConfigs as { port: number };
    assert.throws(() => {
      section.port = 1;
    }, TypeError);
    assert.throws(() => {
      (config as { log: unknown }).log = {};
    }, TypeError);
  });

  it('have limits that follow the record maximum and the settings', async () => {
    const section = { recordBytesMax: '1MiB', requestsPerConnectionMax: 7, idleTimeoutMs: '1s' };
    const { config } = await loadText(JSON.stringify({ beServerConfigs: section }));
    assert.deepEqual(limitsOf(config.beServerConfigs), {
      ...limitsFor(1024 * 1024),
      requestsPerConnectionMax: 7,
      idleTimeoutMs: 1000,
    });
  });
});

describe('the file', () => {
  it('is found by --config, then by the variable, then in the package', async () => {
    const byFlag = await fileOf('{"testParams": {"id": "flag"}}', 'flag.json');
    const byVariable = await fileOf('{"testParams": {"id": "variable"}}', 'variable.json');
    const env = { ...HOME, ENC_SERVER_TS_CONFIG_PATH: byVariable };
    const idOf = async (options: LoadOptions) => (await loadConfig(options)).config.testParams.id;
    assert.equal(await idOf({ file: byFlag, env }), 'flag');
    assert.equal(await idOf({ env }), 'variable');
    const { file } = await loadConfig({ env: { ...HOME, ENC_SERVER_TS_CONFIG_PATH: '' } });
    assert.match(file ?? '', /config\/config\.json$/);
  });

  it('of the package may be missing', async () => {
    const root = new URL('../../../', import.meta.url);
    const elsewhere = join(folder, 'package');
    await cp(new URL('../../lib/', import.meta.url), join(elsewhere, 'dist/lib'), {
      recursive: true,
    });
    await cp(new URL('package.json', root), join(elsewhere, 'package.json'));
    await symlink(new URL('node_modules', root), join(elsewhere, 'node_modules'));
    const module = pathToFileURL(join(elsewhere, 'dist/lib/config/load.js')).href;
    const { loadConfig: load } = (await import(module)) as { loadConfig: typeof loadConfig };
    const { config, file } = await load({ env: HOME });
    assert.equal(file, undefined);
    assert.deepEqual(config, (await loadText('')).config);
    const env = { ...HOME, ENC_SERVER_TS_CONFIG_PATH: join(elsewhere, 'config/config.json') };
    await assert.rejects(load({ env }), { code: 'BAD_CONFIG' });
  });

  it('may be YAML with comments, or JSON with trailing commas', async () => {
    const yaml =
      '# ours\nfeServerConfigs:\n  port: "7001" # string\n  allowOpen: yes\ntestParams:\n';
    const { config } = await loadText(yaml);
    assert.equal(config.feServerConfigs.port, 7001);
    assert.equal(config.feServerConfigs.allowOpen, true);
    const json = await loadText('\uFEFF{"beServerConfigs": {"port": "7002",},}');
    assert.equal(json.config.beServerConfigs.port, 7002);
  });

  it('of the family loads unchanged, with a warning for each setting without a sense', async () => {
    const family = `{
      "feClientConfigs": { "serverAddr": "localhost:7777" },
      "feServerConfigs": {
        "keySize": "32", "idKeyStr": "HUSHHUSHHUSHHUSH", "idNonceStr": "hushhushhush",
        "port": "7777", "useExtIP": "True"
      },
      "beServerConfigs": {
        "port": "8888", "useExtIP": "True", "mongoURI": "mongodb://user:pass@mongodb",
      },
      "beClientConfigs": { "serverAddr": "enc-server-py-be:8888" },
      "testParams": { "id": "someone", "record": "some record" }
    }`;
    const { config, warnings } = await loadText(family);
    assert.equal(config.feServerConfigs.port, 7777);
    assert.equal(config.beClientConfigs.serverAddr, 'enc-server-py-be:8888');
    assert.equal(config.beServerConfigs.store, 'mongo');
    assert.equal(config.beServerConfigs.mongoURI, 'mongodb://user:pass@mongodb');
    assert.equal(config.feServerConfigs.host, 'localhost');
    assert.equal(warnings.length, 4);
    for (const key of ['idKeyStr', 'idNonceStr', 'keySize', 'useExtIP']) {
      assert.equal(warnings.filter((warning) => warning.includes(`${key} (in `)).length, 1, key);
    }
    assert.match(
      warnings.join(),
      /useExtIP \(in feServerConfigs, beServerConfigs\) is ignored: set/,
    );
    assert.doesNotMatch(warnings.join(), /hush/i);
  });

  it('that is named and cannot be read is an error that says why', async () => {
    const missing = join(folder, 'none.json');
    const load = (file: string) => failure(loadConfig({ file, env: HOME }));
    assert.equal((await load(missing)).message, `${missing}: there is no such file`);
    assert.equal((await load(folder)).message, `${folder}: it is a folder`);
    const env = { ...HOME, ENC_SERVER_TS_CONFIG_PATH: missing };
    assert.match((await failure(loadConfig({ env }))).message, /there is no such file/);
    const through = join(await fileOf('', 'file.json'), 'below');
    assert.match((await load(through)).message, /it cannot be read \(ENOTDIR\)/);
  });

  it('that this user may not read is an error that says so', async () => {
    const file = await fileOf('{}', 'closed.json');
    await chmod(file, 0);
    const root = process.geteuid?.() === 0;
    if (root) process.seteuid?.(65_534);
    try {
      const { message } = await failure(loadConfig({ file, env: HOME }));
      assert.equal(message, `${file}: this user may not read it`);
    } finally {
      if (root) process.seteuid?.(0);
    }
  });

  it('that is no text, or endless, is an error', async () => {
    assert.match(await complaint(Buffer.from([0x7b, 0xff, 0x7d])), /it is no UTF-8 text/);
    assert.match(await complaint(' '.repeat(1024 * 1024 + 1)), /it is longer than 1 MiB/);
    const { message } = await failure(loadConfig({ file: '/dev/zero', env: HOME }));
    assert.equal(message, '/dev/zero: it is longer than 1 MiB');
  });

  it('that does not parse is an error with line and column, without its words', async () => {
    const hidden = 'mongodb://user:hush@host';
    for (const [text, words] of [
      [`{"beServerConfigs": {\n  "mongoURI": "${hidden}" "x"}}`, /some\.json:2:\d+: /],
      [`{"beServerConfigs": {"mongoURI": "${hidden}"`, /some\.json:1:60: a bracket is not closed/],
      [`beServerConfigs:\n\tmongoURI: ${hidden}`, /some\.json:2:1: a tab/],
      [`a: ${hidden}\n---\nb: 1`, /some\.json:\d:\d+: there is more than one document/],
      [`a: *${hidden}`, /some\.json: this is neither YAML nor JSON/],
      [`a: !${hidden} b`, /some\.json:1:4: this is neither YAML nor JSON \(/],
    ] as const) {
      const said = await complaint(text);
      assert.match(said, words, text);
      assert.doesNotMatch(said, /hush/, text);
    }
  });

  it('that gives a name twice is an error, in JSON too', async () => {
    const twice = /:2:\d+: the same name is there twice/;
    assert.match(await complaint('{"testParams": {"id": "a",\n "id": "b"}}'), twice);
    assert.match(await complaint('{"testParams": {},\n "testParams": {}}'), twice);
    assert.match(await complaint('testParams: {}\ntestParams: {}'), twice);
    const { config } = await loadText('{"testParams": {"id": "a\\": b", "record": "\\"id\\": 1"}}');
    assert.equal(config.testParams.id, 'a": b');
  });

  it('with an unknown name is an error that names the nearest', async () => {
    const unknown = await complaint('{"feServerConfigs": {"prot": 1}}');
    assert.match(unknown, /some\.json: unknown key prot in feServerConfigs; .*nearest.* is port$/);
    const section = await complaint('{"feServerConfig": {}}');
    assert.match(section, /unknown section feServerConfig; .* is feServerConfigs$/);
    const moved = await complaint('{"feServerConfigs": {"mongoURI": "x"}}');
    assert.match(
      moved,
      /unknown key mongoURI in feServerConfigs; mongoURI belongs in beServerConfigs$/,
    );
    for (const name of ['__proto__', 'constructor', 'toString']) {
      assert.match(await complaint(`{"${name}": {}}`), new RegExp(`unknown section ${name}`));
      assert.match(await complaint(`{"log": {"${name}": 1}}`), new RegExp(`unknown key ${name}`));
      assert.match(await complaint(`log: { ${name}: 1, }`), new RegExp(`unknown key ${name}`));
    }
  });

  it('never shows a value that became a name by mistake', async () => {
    const said = await complaint('{"beServerConfigs": {"mongodb://user:hush@host": 1}}');
    assert.match(said, /unknown key \(not shown/);
    assert.doesNotMatch(said, /hush/);
  });

  it('of the wrong shape is an error', async () => {
    assert.match(await complaint('[]'), /some\.json: expected sections/);
    assert.match(await complaint('hello'), /some\.json: expected sections/);
    assert.match(await complaint('{"log": 5}'), /some\.json: log: expected settings/);
    assert.match(await complaint('{"log": ["a"]}'), /some\.json: log: expected settings/);
  });
});

describe('values', () => {
  const cases: readonly [string, string, unknown, RegExp][] = [
    ['feServerConfigs', 'port', 70_000, /expected a whole number from 0 to 65535/],
    ['feServerConfigs', 'port', 'hush', /expected a whole number/],
    ['feServerConfigs', 'port', null, /expected a whole number/],
    ['feServerConfigs', 'host', '', /expected a host name/],
    ['feServerConfigs', 'host', 'a b', /expected a host name/],
    ['feServerConfigs', 'allowOpen', 'hush', /expected true or false/],
    ['feServerConfigs', 'allowOpen', 2, /expected true or false/],
    ['feServerConfigs', 'recordBytesMax', '16MiB', /from 1 B to 15 MiB/],
    ['feServerConfigs', 'recordBytesMax', 0, /from 1 B to 15 MiB/],
    ['feServerConfigs', 'idleTimeoutMs', '25d', /from 1 ms to 24 d/],
    ['feServerConfigs', 'idleTimeoutMs', 0, /from 1 ms to 24 d/],
    ['feServerConfigs', 'textEncoding', 'hush', /expected one of raw, hex/],
    ['feServerConfigs', 'bytesInFlightMax', '8MiB', /expected at least 4\/3 of recordBytesMax/],
    ['feServerConfigs', 'dataDir', 'a\u0000b', /expected the path of a folder/],
    ['feServerConfigs', 'allowedHosts', 'hush.example:8080', /expected names without ports/],
    ['feServerConfigs', 'allowedHosts', 'a.example, hush*', /expected names without ports/],
    ['feServerConfigs', 'allowedHosts', '..hush', /expected names without ports/],
    ['beServerConfigs', 'store', 'redis', /expected one of level, memory, mongo/],
    ['beServerConfigs', 'mongoURI', 'http://hush', /expected a connection string, mongodb:/],
    ['beServerConfigs', 'mongoURI', { hush: 1 }, /expected a connection string/],
    ['beServerConfigs', 'mongoDatabase', 'a/b', /expected a name of 1 to 63/],
    ['beClientConfigs', 'serverAddr', 'hush', /expected host:port/],
    ['beClientConfigs', 'serverAddr', 'host:0', /expected host:port/],
    ['beClientConfigs', 'serverAddr', 'host:65536', /expected host:port/],
    ['beClientConfigs', 'serverAddr', '::1:80', /expected host:port/],
    ['beClientConfigs', 'smallConnections', 0, /expected a whole number from 1/],
    ['beClientConfigs', 'dialect', 'smoke', /expected one of frames/],
    ['testParams', 'id', '', /expected text on one line/],
    ['testParams', 'id', 5, /expected text on one line/],
    ['testParams', 'record', 'a\nb', /expected text on one line/],
    ['log', 'level', 'loud', /expected one of trace/],
  ];

  it('that are wrong are errors with file, section and key, never with the value', async () => {
    for (const [section, key, value, words] of cases) {
      const said = await complaint(JSON.stringify({ [section]: { [key]: value } }));
      assert.ok(said.includes(`some.json: ${section}.${key}: expected `), said);
      assert.match(said, words);
      assert.doesNotMatch(said, /hush/);
    }
  });

  it('for a key service without its place are an error, as the keyring would not be sealed', async () => {
    const said = await complaint('{"feServerConfigs": {"keyringTransitToken": "hush"}}');
    assert.match(said, /feServerConfigs\.keyringTransitToken: expected keyringTransitUrl, too/);
    assert.doesNotMatch(said, /hush/);
  });

  it('are all told of at once', async () => {
    const said = await complaint('{"log": {"level": 1}, "testParams": {"id": 1}}');
    assert.match(said, /testParams\.id: expected/);
    assert.match(said, /log\.level: expected/);
  });

  it('that are good are taken', async () => {
    const { config } = await loadText(
      JSON.stringify({
        feServerConfigs: {
          port: '0',
          dataDir: '~/d',
          keyring: '/k.json',
          allowOpen: 'ON',
          allowedHosts: NAMES,
        },
        beServerConfigs: { recordBytesMax: '15MiB', dataDir: '/srv//be' },
        beClientConfigs: { serverAddr: '[::1]:8888' },
        feClientConfigs: { timeoutMs: '1m' },
        log: { dir: '', stdout: 'no' },
      }),
    );
    assert.equal(config.feServerConfigs.port, 0);
    assert.equal(config.feServerConfigs.dataDir, '/home/u/d');
    assert.equal(config.feServerConfigs.keyring, '/k.json');
    assert.equal(config.feServerConfigs.allowOpen, true);
    assert.equal(config.feServerConfigs.allowedHosts, NAMES);
    assert.equal(config.beServerConfigs.dataDir, '/srv/be');
    assert.equal(config.beServerConfigs.recordBytesMax, 15 * 1024 * 1024);
    assert.equal(config.beClientConfigs.serverAddr, '[::1]:8888');
    assert.equal(config.feClientConfigs.timeoutMs, 60_000);
    assert.equal(config.log.dir, '');
    assert.equal(config.log.stdout, false);
    assert.equal(config.log.stdoutGiven, true);
  });
});

describe('the command line', () => {
  it('wins over environment and file; undefined is not given', async () => {
    const text = '{"feServerConfigs": {"port": 1, "host": "file", "connectionsMax": 5}}';
    const env = {
      ...HOME,
      ENC_SERVER_TS_FESERVERCONFIGS_PORT: '2',
      ENC_SERVER_TS_FESERVERCONFIGS_HOST: 'env',
    };
    const flags = { feServerConfigs: { port: '3', host: undefined } };
    const { feServerConfigs } = (await loadText(text, { env, flags })).config;
    assert.equal(feServerConfigs.port, 3);
    assert.equal(feServerConfigs.host, 'env');
    assert.equal(feServerConfigs.connectionsMax, 5);
  });

  it('is named where it is wrong', async () => {
    const said = await complaint('', { flags: { feServerConfigs: { port: 'x' } } });
    assert.match(said, /command line: feServerConfigs\.port: expected/);
    const unknown = { feServerConfigs: { prot: 1 } } as LoadOptions['flags'] & object;
    assert.match(
      await complaint('', { flags: unknown }),
      /feServerConfigs.*expected known settings/,
    );
  });
});

describe('the store', () => {
  const store = async (text: string, env: object = {}, flags?: LoadOptions['flags']) =>
    (await loadText(text, { env: { ...HOME, ...env }, ...(flags && { flags }) })).config
      .beServerConfigs.store;
  const uri = 'mongodb://h';

  it('is mongo where the last to say anything of it gives a URI alone', async () => {
    const given = { beServerConfigs: { mongoURI: uri } };
    const both = JSON.stringify({ beServerConfigs: { mongoURI: uri, store: 'level' } });
    assert.equal(await store(JSON.stringify(given)), 'mongo');
    assert.equal(await store(both), 'level');
    assert.equal(await store(both, { ENC_SERVER_TS_BESERVERCONFIGS_MONGOURI: uri }), 'mongo');
    assert.equal(await store(both, {}, given), 'mongo');
    assert.equal(
      await store(JSON.stringify(given), {}, { beServerConfigs: { store: 'memory' } }),
      'memory',
    );
  });

  it('is told to ignore a URI that is given beside it, not one that it overrides', async () => {
    const text = (section: object) => JSON.stringify({ beServerConfigs: section });
    const hidden = 'mongodb://user:hush@host';
    for (const kind of ['level', 'memory']) {
      const { warnings } = await loadText(text({ mongoURI: hidden, store: kind }));
      const file = join(folder, 'some.json: beServerConfigs');
      assert.deepEqual(warnings, [`${file}.mongoURI is ignored: ${file}.store is not mongo`]);
    }
    const flags = { beServerConfigs: { store: 'level' } };
    for (const [section, options] of [
      [{ mongoURI: uri, store: 'mongo' }, {}],
      [{ mongoURI: uri }, { flags }],
      [{ mongoURI: uri, store: 'level' }, { flags: { feServerConfigs: {} } }],
    ] as const) {
      assert.deepEqual((await loadText(text(section), options)).warnings, []);
    }
  });
});
