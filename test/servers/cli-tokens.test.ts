/** `enc-server tokens`, where something is in its way; what it is for: test/integration/access.test.ts. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readTokens } from '../../lib/auth/token-file.ts';
import { runTokens } from '../../lib/cli/tokens.ts';
// Loaded here: whoever the command runs as may not read this repository.
import '../../lib/config/load.ts';
import { pathOf, run, runCommand } from '../helpers/programs.ts';
import { giveAway, notAsRoot } from '../helpers/somebody.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

/** As in a container whose root has not all rights. */
const NO_CHOWN = ['setpriv', '--bounding-set=-chown', '--inh-caps=-chown'] as const;
const { status } = spawnSync('setpriv', [...NO_CHOWN.slice(1), 'true']);
const skip =
  status !== 0 || process.geteuid?.() !== 0 ? 'only root drops rights, with setpriv' : false;

describe('enc-server tokens', () => {
  let folder: string;
  before(async () => {
    folder = await temporaryFolder();
  });
  after(async () => {
    await rm(folder, { recursive: true });
  });
  const tokens = (...args: string[]) =>
    run('enc-server', ['tokens', ...args, '--tokens', join(folder, 'tokens.json')]);

  it('offers the scopes that the server has', async () => {
    const none = await tokens('create', '--scopes', '');
    assert.match(none.stderr, /no scopes\n {2}hint: choose from store, retrieve, delete, admin\n/);
    const back = await tokens('create', '--be', '--scopes', ' ');
    assert.match(back.stderr, /no scopes\n {2}hint: choose from frontend, admin\n/);
  });

  it('lists notes without what controls a terminal', async () => {
    const note = 'red \u001b[31m\nother';
    assert.equal((await tokens('create', '--scopes', 'store', '--note', note)).code, 0);
    const { stdout } = await tokens('list');
    assert.match(stdout.toString(), /red \?\[31m\?other\n$/);
    assert.equal(JSON.parse((await tokens('list', '--json')).stdout.toString())[0].note, note);
  });

  it('leaves no token that counts for nothing', async () => {
    await writeFile(join(folder, 'tokens.json'), 'no tokens', { mode: 0o600 });
    const out = join(folder, 'token');
    assert.equal((await tokens('create', '--scopes', 'store', '--out', out)).code, 2);
    assert.deepEqual(await readdir(folder), ['tokens.json']);
  });

  it('leaves no token that nobody received', async () => {
    const path = join(folder, 'unseen.json');
    const args = ['tokens', 'create', '--scopes', 'store', '--tokens', path];
    for (const more of [[], ['--json']]) {
      const command = ['-c', 'exec "$@" >/dev/full', 'sh', process.execPath, pathOf('enc-server')];
      const { code, stderr } = await runCommand('sh', [...command, ...args, ...more]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /token [0-9a-f]{12} does not count: nobody received it\n/);
      assert.deepEqual(await readTokens(path), []);
    }
  });

  it('goes on as a root that may give no file away, where none is taken', { skip }, async () => {
    const own = join(folder, 'own');
    const path = join(own, 'tokens');
    await mkdir(own);
    await giveAway(own);
    const create = ['tokens', 'create', '--scopes', 'store', '--tokens', path];
    const command = [...NO_CHOWN, process.execPath, pathOf('enc-server')] as const;
    assert.equal((await run('enc-server', create, { command })).code, 0);
    assert.equal((await stat(path)).uid, 0);
    await giveAway(path);
    const before = await readFile(path);
    const refused = await run('enc-server', create, { command });
    assert.match(refused.stderr, /FILE_ERROR .*: it cannot be written \(EPERM\)/);
    assert.deepEqual(await readFile(path), before);
    assert.deepEqual(await readdir(own), ['tokens']);
  });

  it('keeps a token that counts although the change failed late', async () => {
    const [shut, out] = [join(folder, 'shut'), join(folder, 'late')];
    await mkdir(shut);
    await giveAway(shut, folder);
    // A file can be made in it and renamed, but the folder cannot be opened and synced.
    await chmod(shut, 0o300);
    const args = ['create', '--scopes', 'store', '--out', out, '--tokens', join(shut, 'tokens')];
    assert.equal(await notAsRoot(() => runTokens(args)), 2);
    await chmod(shut, 0o700);
    const [entry] = await readTokens(join(shut, 'tokens'));
    assert.equal((await readFile(out, 'utf8')).split('_')[1], entry?.id);
  });
});
