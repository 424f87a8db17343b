/** Secrets as the deployments have them, made by their own script in a temporary folder. */
import { spawnSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { pathInRepository } from './repository.ts';
import { temporaryFolder } from './servers.ts';

const SCRIPT = pathInRepository('deployments/mongo/make_secrets.sh');

export function makeSecrets(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return spawnSync('sh', [SCRIPT, ...args], { encoding: 'utf8', env: { ...process.env, ...env } });
}

/** Makes the secrets for a MongoDB at `address`, and removes them afterwards. */
export async function withSecrets<T>(
  address: string,
  use: (folder: string) => Promise<T> | T,
): Promise<T> {
  const folder = await temporaryFolder();
  try {
    const { status, stderr } = makeSecrets([folder, address]);
    if (status !== 0) throw new Error(stderr);
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
