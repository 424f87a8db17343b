/** A data folder as an earlier release has left it, and what must be found in it. */
import { chmod, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { pathInRepository, readRepository } from './repository.ts';
import { temporaryFolder } from './servers.ts';

const recordSchema = z.strictObject({
  id: z.string(),
  key: z.string(),
  /** The record is this text, so many times. */
  text: z.string(),
  times: z.int(),
  expiryMs: z.int().exactOptional(),
  namespace: z.string().exactOptional(),
  contentType: z.string().exactOptional(),
  once: z.boolean().exactOptional(),
});

const fixtureSchema = z.strictObject({
  about: z.string(),
  records: z.array(recordSchema),
  items: z.array(z.strictObject({ id: z.int(), data: z.string() })),
  foreign: z.array(z.strictObject({ token: z.string(), record: z.string() })),
});

export type FixtureRecord = z.infer<typeof recordSchema>;
export type Fixture = z.infer<typeof fixtureSchema>;

export function readFixture(name: string): Fixture {
  return fixtureSchema.parse(JSON.parse(readRepository(`test/fixtures/${name}/records.json`)));
}

/** A copy of the folder that may be written to; resolves to its path. */
export async function copyFixture(name: string): Promise<string> {
  const folder = await temporaryFolder();
  await cp(pathInRepository(`test/fixtures/${name}`), folder, { recursive: true });
  // Git knows no such modes, and a keyring that others may read is refused.
  await chmod(join(folder, 'fe/keyring.json'), 0o600);
  return folder;
}
