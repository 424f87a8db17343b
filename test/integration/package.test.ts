/** The tarball of `npm pack`, installed in an empty folder, as somebody else gets it. */
import assert from 'node:assert/strict';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  type Finished,
  type ProgramName,
  run,
  runCommand,
  startUp,
  untilGone,
} from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

// From test/integration/ in the folder of what was built.
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const BUILT = fileURLToPath(new URL('../../', import.meta.url));

const CALLER = `
import { type BeClientOptions, BeClient } from 'enc-server-ts/be-client';
import { EncServerError, FeClient, type Stored } from 'enc-server-ts/fe-client';

const options: BeClientOptions = { address: { host: 'localhost', port: 8888 } };
export const be = new BeClient(options);
export async function store(client: FeClient): Promise<string> {
  try {
    const stored: Stored = await client.store('alice', Buffer.from('hello'));
    return stored.key.toString('hex');
  } catch (error) {
    if (error instanceof EncServerError && error.code === 'CONFLICT') return error.hint;
    throw error;
  }
}
// @ts-expect-error a record is bytes, or text
export const wrong = (client: FeClient) => client.store('alice', 5);
`;

const SESSION = `
import { FeClient, parseAddress } from 'enc-server-ts/fe-client';
const client = new FeClient({ address: parseAddress(process.argv[2]) });
const { key } = await client.store('alice', Buffer.from('hello'));
const { record } = await client.retrieve('alice', key);
console.log(record.toString());
client.close();
`;

describe('the package', () => {
  let folder: string;
  let home: string;
  const inHome = (command: string, ...args: string[]): Promise<Finished> =>
    runCommand(command, args, { cwd: home });

  before(async () => {
    folder = await temporaryFolder();
    home = join(folder, 'home');
    // What was just built and is tested here, with all that the package takes besides.
    const stage = join(folder, 'stage');
    const { files } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
    for (const name of ['package.json', 'LICENSE', 'README.md', ...files]) {
      const source = name.startsWith('dist/') ? join(BUILT, name.slice(5)) : join(ROOT, name);
      await cp(source, join(stage, name), { recursive: true }).catch(ignoreMissing);
    }
    await writeFile(join(stage, 'examples', 'left.key'), 'a key that somebody made there');
    const pack = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
    const packed = await runCommand('npm', pack, { cwd: stage });
    assert.equal(packed.code, 0, packed.stderr);
    const [{ filename }] = JSON.parse(packed.stdout.toString());
    await mkdir(home);
    await writeFile(join(home, 'package.json'), '{"type": "module"}');
    const install = ['install', '--prefer-offline', '--no-audit', '--no-fund'];
    const installed = await inHome('npm', ...install, join(folder, filename));
    assert.equal(installed.code, 0, installed.stderr);
  });
  after(async () => {
    await rm(folder, { recursive: true });
  });

  it('brings the folders that README names, no key, and no map to sources that it lacks', async () => {
    const installed = join(home, 'node_modules', 'enc-server-ts');
    const files = await readdir(installed, { recursive: true });
    for (const name of ['examples/client.js', 'deployments/monitoring/alerts.yaml']) {
      assert.ok(files.includes(name), name);
    }
    const others = files.filter((file) => /\.(?:map|key)$/.test(file));
    assert.deepEqual(others, []);
  });

  it('exports of the client of the back end what people need, and no more', async () => {
    const script = "console.log(...Object.keys(await import('enc-server-ts/be-client')))";
    const { stdout } = await inHome(process.execPath, '--input-type=module', '--eval', script);
    assert.equal(stdout.toString(), 'BeClient EncServerError parseAddress\n');
  });

  it('brings all its programs', async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
    const programs = ['enc-server', 'fe-server', 'be-server', 'fe-client', 'be-client'];
    for (const name of ['enc-server-ts', ...programs]) {
      const bin = join('node_modules', '.bin', name);
      const { code, stdout } = await inHome(bin, '--version');
      assert.deepEqual(
        [code, stdout.toString()],
        [
          0,
          `${version}
`,
        ],
        name,
      );
    }
    const npx = await inHome('npx', '--no-install', 'enc-server-ts', '--version');
    assert.equal(
      npx.stdout.toString(),
      `${version}
`,
    );
  });

  it('runs a session with its programs and its library', async () => {
    await writeFile(join(home, 'session.js'), SESSION);
    const npx = (name: ProgramName) =>
      ({ cwd: home, command: ['npx', '--no-install', name] }) as const;
    const up = await startUp(join(home, 'data'), [], npx('enc-server'));
    try {
      const session = await inHome(process.execPath, 'session.js', `localhost:${up.fePort}`);
      assert.equal(session.stdout.toString(), 'hello\n', session.stderr);
      const trial = await run('fe-client', up.toFe, npx('fe-client'));
      assert.equal(trial.code, 0, trial.stderr);
      up.signalAll('SIGTERM');
      await untilGone(up.bePid, up.fePid);
    } finally {
      await up.killAll();
    }
  });

  it('has types for both client libraries', async () => {
    await writeFile(join(home, 'caller.ts'), CALLER);
    const compilerOptions = {
      module: 'nodenext',
      target: 'es2023',
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      types: ['node'],
      typeRoots: [join(ROOT, 'node_modules', '@types')],
    };
    const config = JSON.stringify({ compilerOptions, files: ['caller.ts'] });
    await writeFile(join(home, 'tsconfig.json'), config);
    const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    const { code, stdout } = await inHome(process.execPath, tsc, '-p', '.');
    assert.equal(code, 0, stdout.toString());
  });
});

/** A file that a release has need not be there while it is worked on. */
function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
