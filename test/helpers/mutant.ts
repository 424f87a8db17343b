/** A copy of the compiled program in which one promise is broken. */
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

export interface Mutation {
  /** Below `dist`. */
  readonly file: string;
  /** Must be there exactly once: a mutation that no longer fits is no test. */
  readonly from: string;
  readonly to: string;
}

/** Runs `use` with the folder of the mutant, which is removed afterwards. */
export async function withMutant<T>(
  { file, from, to }: Mutation,
  use: (dist: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-mutant-'));
  try {
    const dist = join(folder, 'dist');
    await cp(join(ROOT, 'dist', 'lib'), join(dist, 'lib'), { recursive: true });
    await cp(join(ROOT, 'dist', 'bin'), join(dist, 'bin'), { recursive: true });
    await cp(join(ROOT, 'config'), join(folder, 'config'), { recursive: true });
    await cp(join(ROOT, 'package.json'), join(folder, 'package.json'));
    for (const name of ['node_modules', 'proto', 'web']) {
      await symlink(join(ROOT, name), join(folder, name));
    }
    const path = join(dist, file);
    const text = await readFile(path, 'utf8');
    if (text.split(from).length !== 2) throw new Error(`${file} does not have once: ${from}`);
    await writeFile(path, text.replace(from, to));
    return await use(dist);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
