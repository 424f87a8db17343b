/** Tokens for tests, made as the command makes them. */
import type { Scope } from '../../lib/access.ts';
import { drawToken } from '../../lib/auth/token.ts';
import { changeTokens, type TokenEntry } from '../../lib/auth/token-file.ts';

export interface TestToken {
  readonly id: string;
  readonly token: string;
}

export async function makeToken(
  path: string,
  scopes: readonly Scope[],
  facts: Partial<Pick<TokenEntry, 'namespace' | 'expiresMs'>> = {},
): Promise<TestToken> {
  const { id, hash, token } = drawToken();
  const none = { namespace: undefined, expiresMs: undefined, createdMs: Date.now(), note: '' };
  await changeTokens(path, (entries) => [...entries, { id, hash, scopes, ...none, ...facts }]);
  return { id, token };
}

export async function revokeToken(path: string, id: string): Promise<void> {
  await changeTokens(path, (entries) => entries.filter((entry) => entry.id !== id));
}
