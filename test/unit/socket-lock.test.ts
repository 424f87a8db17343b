/** Locks that end with their process: who may take one, and what is left when it is given back. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { holdSocket } from '../../lib/socket-lock.ts';
import { rejectsWith } from '../helpers/codes.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-'));
});
afterEach(() => rm(folder, { recursive: true }));

for (const [what, name] of [
  ['a short name', 'a.sock'],
  ['a long name', `${'long-'.repeat(10)}.sock`],
] as const) {
  test(`${what}: one holder at a time, also where one gives it to the next`, async () => {
    const deep = name === 'a.sock' ? folder : await mkdtemp(join(folder, 'f'.repeat(90)));
    const path = join(deep, name);
    let release = (await holdSocket(path)) ?? assert.fail();
    for (let times = 0; times < 30; times++) {
      assert.equal(await holdSocket(path), undefined);
      const given = release();
      let next = await holdSocket(path);
      while (next === undefined) next = await holdSocket(path);
      await given;
      assert.ok(existsSync(path), 'the next holder has its socket still');
      release = next;
    }
    await release();
    assert.ok(!existsSync(path));
  });
}

test('what is no socket stays where it is', async () => {
  const path = join(folder, 'a.sock');
  await writeFile(path, 'mine');
  await rejectsWith(holdSocket(path) as Promise<unknown>, 'FILE_ERROR');
  assert.ok(existsSync(path));
});
