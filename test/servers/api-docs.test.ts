/** The pages of the client libraries: every name that a caller can reach is told of. */
import assert from 'node:assert/strict';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { runCommand } from '../helpers/programs.ts';
import { pathInRepository, readRepository } from '../helpers/repository.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

const OPTIONS = JSON.parse(readRepository('typedoc.json'));
const TYPEDOC = pathInRepository('node_modules/typedoc/bin/typedoc');

let folder: string;

before(async () => {
  folder = await temporaryFolder();
});
after(async () => {
  await rm(folder, { recursive: true, force: true });
});

test('they are made of what the package exports', () => {
  const { exports } = JSON.parse(readRepository('package.json'));
  const modules = Object.values<{ types?: string }>(exports).flatMap(({ types }) => types ?? []);
  assert.ok(modules.length > 0);
  const sources = modules.map((path) => path.replace(/^\.\/dist\/(.*)\.d\.ts$/, '$1.ts'));
  assert.deepEqual(OPTIONS.entryPoints, sources);
});

test('they are made without a warning', async () => {
  const cwd = pathInRepository('');
  const args = [TYPEDOC, '--emit', 'none'];
  const { code, stdout, stderr } = await runCommand(process.execPath, args, { cwd });
  assert.equal(code, 0, `${stdout}${stderr}`);
});

test('a name without a word, and a link that leads nowhere, are complained of', async () => {
  const source = `/** A module. See {@link Nobody}.\n *\n * @module a\n */
/** Told of. */
export interface Known {
  /** Told of, too. */
  readonly told: string;
  readonly untold: string;
}
interface Hidden {
  readonly a: string;
}
/** Leads to what is not exported. */
export function leading(): Hidden {
  return { a: '' };
}
`;
  await mkdir(join(folder, 'lib'));
  await writeFile(join(folder, 'lib/a.ts'), source);
  await writeFile(join(folder, 'package.json'), '{ "name": "a", "type": "module" }');
  await writeFile(join(folder, 'tsconfig.json'), readRepository('tsconfig.json'));
  await symlink(pathInRepository('node_modules'), join(folder, 'node_modules'));
  const options = { ...OPTIONS, entryPoints: ['lib/a.ts'] };
  await writeFile(join(folder, 'typedoc.json'), JSON.stringify(options));
  const args = [TYPEDOC, '--emit', 'none'];
  const { code, stdout, stderr } = await runCommand(process.execPath, args, { cwd: folder });
  const said = `${stdout}${stderr}`;
  assert.notEqual(code, 0, said);
  assert.match(said, /Known\.untold .*does not have any documentation/);
  assert.match(said, /Hidden, .*not included in the documentation/);
  assert.match(said, /Nobody/);
  assert.doesNotMatch(said, /Known\.told /);
});
