/** `enc-server tokens`, where something is in its way; what it is for: test/integration/access.test.ts. */
import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readTokens } from '../../lib/auth/token-file.ts';
import { runTokens } from '../../lib/cli/tokens.ts';
// Loaded here: whoever the command runs as may not read this repository.
import '../../lib/config/load.ts';
import { run } from '../helpers/programs.ts';
import { giveAway, notAsRoot } from '../helpers/somebody.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

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
