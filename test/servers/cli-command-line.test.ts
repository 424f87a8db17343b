/** Every command line is checked whole before anything is opened. The real programs, no server. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ProgramName, pathOf, run, runCommand } from '../helpers/programs.ts';

const PROGRAMS = ['enc-server', 'be-server', 'fe-server', 'be-client', 'fe-client'] as const;
const KEY = 'ab'.repeat(32);
const CREATE = ['tokens', 'create', '--scopes', 'store', '--tokens', '/dev/null/tokens'];
const OWN_FILE = fileURLToPath(import.meta.url);
const NOT_REGULAR = /FILE_ERROR \/dev\/\w+ is no regular file\n/;

/** Program and arguments, then what standard error says of them. All exit with 2. */
const MISTAKES: readonly (readonly [ProgramName, readonly string[], RegExp])[] = [
  ['enc-server', ['upp'], /^enc-server: USAGE no command upp\n {2}hint: did you mean up\?/],
  ['enc-server', ['fe-clinet'], /did you mean fe-client\?/],
  ['enc-server', ['constructor'], /USAGE no command constructor\n/],
  ['enc-server', [KEY], /USAGE no such command\n/],
  ['enc-server', [], /Usage: enc-server COMMAND/],
  ['enc-server', ['tokens'], /^Usage: .*USAGE no command was given\n {2}hint: see --help\n$/s],
  ['fe-client', ['help', 'stoer'], /USAGE no command stoer\n {2}hint: did you mean store\?/],
  ['enc-server', ['up', 'now'], /^enc-server up: USAGE too many arguments/],
  ['enc-server', ['up', '--fe-port', 'abc'], /--fe-port <port>' argument 'abc' is invalid.*65535/],
  ['enc-server', ['up', '--be-port', '65536'], /--be-port/],
  ['enc-server', ['up', '--store', 'lvl'], /Allowed choices are level, memory, mongo/],
  [
    'enc-server',
    ['up', '--data-dir', ''],
    /--data-dir <folder>' argument '' is invalid. It is empty/,
  ],
  ['enc-server', ['up', '--hots', 'x'], /unknown option '--hots'\n {2}hint: did you mean --host\?/],
  [
    'enc-server',
    ['up', '--mongo-uri', 'mongo:s3cret'],
    /^((?!s3cret).)*BAD_CONFIG((?!s3cret).)*$/s,
  ],
  ['be-server', ['--port', '-1'], /--port/],
  ['be-server', ['--keyring', 'x'], /unknown option '--keyring'/],
  ['be-server', ['--host', 'two words'], /BAD_CONFIG command line: beServerConfigs.host/],
  [
    'fe-server',
    ['--be', 'nowhere'],
    /--be <address>' argument 'nowhere' is invalid. Write HOST:PORT/,
  ],
  ['fe-server', ['--store', 'level'], /unknown option '--store'/],
  ['fe-client', ['stoer'], /^fe-client: USAGE no command stoer\n {2}hint: did you mean store\?/],
  ['fe-client', ['stoer', '--id', 'x'], /did you mean store\?/],
  ['fe-client', ['--sevrer', 'x'], /unknown option '--sevrer'\n {2}hint: did you mean --server\?/],
  ['fe-client', ['--server', 'h:0'], /Write HOST:PORT/],
  ['fe-client', ['--timeout', '0'], /--timeout/],
  ['fe-client', ['--timeout', '99d'], /BAD_CONFIG .*timeoutMs/],
  ['fe-client', ['store'], /required option '--id <id>' not specified/],
  ['fe-client', ['store', '--id'], /'--id <id>' argument missing/],
  ['fe-client', ['store', '--id', ''], /INVALID_ID the ID is empty/],
  ['fe-client', ['store', '--id', 'x'.repeat(1025)], /INVALID_ID .*longer than 1024 bytes/],
  ['fe-client', ['store', '--id', '\ufffd'], /--id is not valid UTF-8/],
  ['fe-client', ['store', '--id', 'a', '--record', '\ufffd'], /--record is not valid UTF-8/],
  ['fe-client', ['store', '--id', 'a', '--content-type', '\ufffd'], /--content-type is not valid/],
  ['enc-server', [...CREATE, '--namespace', '\ufffd'], /--namespace is not valid UTF-8/],
  ['enc-server', [...CREATE, '--note', '\ufffd'], /--note is not valid UTF-8/],
  ['fe-client', ['store', '--id', 'a', '--namespace', 'é'.repeat(128)], /INVALID_NAMESPACE/],
  ['fe-client', ['store', '--id', 'a', '--record', 'x', '--file', 'y'], /exclude each other/],
  ['fe-client', ['store', '--id', 'a', '--file', '/nonexistent'], /FILE_ERROR .*ENOENT/],
  ['fe-client', ['store', '--id', 'a', '--file', '/'], /FILE_ERROR .*EISDIR/],
  ['fe-client', ['store', '--id', 'a', '--record', 'x', '--key-out', '/'], /FILE_ERROR/],
  ['fe-client', ['retrieve', '--id', 'a'], /USAGE no key\n {2}hint: .*--key-file/],
  ['fe-client', ['retrieve', '--id', 'a', `--kye=${KEY}`], /^((?!abab).)*unknown option '--kye'/],
  ['fe-client', ['retrieve', '--id', 'a', '--key', KEY.slice(1)], /INVALID_KEY .*63 characters/],
  ['fe-client', ['retrieve', '--id', 'a', '--key', `${KEY.slice(1)}g`], /INVALID_KEY/],
  ['fe-client', ['retrieve', '--id', 'a', '--key', '-'], /INVALID_KEY .*0 characters/],
  ['fe-client', ['retrieve', '--id', 'a', '--key-file', '/dev/zero'], /INVALID_KEY .*4 KiB/],
  ['fe-client', ['retrieve', '--id', 'a', '--key-file', '/nonexistent'], /FILE_ERROR .*ENOENT/],
  // Read twice, or gone on with: no pipe and no device.
  ['fe-client', ['import', '/dev/null', '--keys-out', '/nowhere/k'], NOT_REGULAR],
  ['fe-client', ['import', '/dev/null', '--keys-out', '/nowhere/k'], /hint: it is read twice/],
  ['fe-client', ['import', OWN_FILE, '--keys-out', '/dev/full'], NOT_REGULAR],
  ['fe-client', ['export', '/dev/null', '--out', '/nowhere/o'], NOT_REGULAR],
  ['fe-client', ['export', OWN_FILE, '--out', '/dev/full'], NOT_REGULAR],
  ['fe-client', ['rekey', '--id', 'a', '--key', KEY, '--key-out', '/dev/full'], NOT_REGULAR],
  [
    'enc-server',
    ['backup', 'restore', '/dev/null', '--be', 'localhost:1', '--key-file', OWN_FILE],
    NOT_REGULAR,
  ],
  ['fe-client', ['head', '--id', 'a', '--token-file', '/dev/zero'], /zero holds no token/],
  [
    'enc-server',
    ['backup', 'verify', OWN_FILE, '--passphrase-file', '/dev/zero'],
    /USAGE .*longer than 1 MiB/,
  ],
  ['fe-client', ['delete', '--id', 'a', '--key', KEY, '--key-file', 'x'], /exclude each other/],
  ['be-client', ['store', '--id', ''], /INVALID_ID/],
  ['be-client', ['retrieve', '--id', 'x'.repeat(4097)], /INVALID_ID/],
  ['be-client', ['delete', '--id', 'a', '--key', KEY], /unknown option '--key'/],
];

/** Two at a time, one for each core. */
async function inPairs<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items];
  const worker = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await act(item);
  };
  await Promise.all([worker(), worker()]);
}

describe('a command line', () => {
  it('with a mistake exits with 2, one clear error, and nothing on standard output', async () => {
    await inPairs(MISTAKES, async ([program, args, words]) => {
      const { code, stdout, stderr } = await run(program, args);
      const title = `${program} ${args.join(' ').slice(0, 80)}`;
      assert.equal(code, 2, `${title}: ${stderr}`);
      assert.match(stderr, words, title);
      assert.equal(stdout.length, 0, title);
    });
  });

  it('with a mistake is answered in JSON when asked', async () => {
    const { code, stderr } = await run('fe-client', [
      'store',
      '--json',
      '--id',
      'a',
      '--recrod',
      'x',
    ]);
    assert.equal(code, 2);
    const { error } = JSON.parse(stderr);
    assert.deepEqual(error, {
      code: 'USAGE',
      message: "unknown option '--recrod'",
      hint: 'did you mean --record? see --help',
    });
  });

  it('for a record that no server takes is refused before it is all read', async () => {
    const args = ['store', '--id', 'a', '--file', '/dev/zero'];
    for (const program of ['fe-client', 'be-client'] as const) {
      const { code, stderr } = await run(program, args);
      assert.equal(code, 8);
      assert.match(stderr, /RECORD_TOO_LARGE/);
    }
  });
});

describe('every program', () => {
  it('tells its release', async () => {
    const manifest = new URL('../../../package.json', import.meta.url);
    const { version } = JSON.parse(await readFile(manifest, 'utf8'));
    await inPairs(PROGRAMS, async (program) => {
      for (const flag of ['--version', '-V']) {
        const { code, stdout, stderr } = await run(program, [flag]);
        assert.deepEqual([code, stdout.toString(), stderr], [0, `${version}\n`, '']);
      }
    });
  });

  it('tells how it is used', async () => {
    await inPairs(PROGRAMS, async (program) => {
      for (const flag of ['--help', '-h']) {
        const { code, stdout, stderr } = await run(program, [flag]);
        assert.deepEqual([code, stderr], [0, '']);
        assert.match(stdout.toString(), new RegExp(`^Usage: ${program} `));
      }
    });
  });

  it('does not end as if it had told where nothing could be written', async () => {
    await inPairs(PROGRAMS, async (program) => {
      for (const flag of ['--help', '--version']) {
        const command = ['-c', 'exec "$@" >/dev/full', 'sh', process.execPath, pathOf(program)];
        const { code, stderr } = await runCommand('sh', [...command, flag]);
        assert.equal(code, 2, program);
        assert.match(stderr, /FILE_ERROR cannot write to standard output \(ENOSPC\)/);
      }
    });
  });

  it('tells how its commands are used', async () => {
    const asked: readonly (readonly [ProgramName, readonly string[], RegExp])[] = [
      ['enc-server', ['help'], /^Usage: enc-server COMMAND/],
      ['enc-server', ['help', 'up'], /^Usage: enc-server up .*--config.*--fe-port/s],
      ['enc-server', ['be-server', '--help'], /^Usage: be-server .*--mongo-uri/s],
      ['enc-server', ['fe-client', 'help', 'store'], /^Usage: fe-client store .*--key-out/s],
      ['fe-client', ['retrieve', '--help'], /--key <hex>.*process list.*--server.*--json/s],
      ['be-client', ['help', 'delete'], /--must-exist/],
    ];
    await inPairs(asked, async ([program, args, words]) => {
      const { code, stdout } = await run(program, args);
      assert.equal(code, 0);
      assert.match(stdout.toString(), words);
    });
  });
});
