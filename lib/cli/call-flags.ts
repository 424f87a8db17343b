/** How commands call a server: the flags, and the settings that result from them. */
import type { Command } from 'commander';
import type { Config } from '../config/load.ts';
import { EncServerError } from '../errors.ts';
import { type CallSettings, framesCallOf } from '../net/call-settings.ts';
import { given } from './command-line.ts';
import { readBytes } from './record-io.ts';

/** A token has at most 4096 characters; a much longer file is the wrong one. */
const TOKEN_FILE_BYTES_MAX = 8192;

export interface TlsFlags {
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly allowPlaintext?: boolean;
}

export interface CallFlags extends TlsFlags {
  readonly server?: string | undefined;
  readonly timeout?: string;
  readonly tokenFile?: string | undefined;
  readonly tls?: boolean;
  readonly tlsServerName?: string;
}

/** `whose` and `call` are words for the help: whose certificate it is, and what is called. */
export function addTlsFlags(command: Command, whose = '', call = 'call'): Command {
  return command
    .option('--tls-ca <path>', `${call} over TLS, trusting this authority (PEM)`, given)
    .option('--tls-cert <path>', `the client certificate${whose} (PEM)`, given)
    .option('--tls-key <path>', 'the private key of the client certificate (PEM)', given)
    .option('--allow-plaintext', 'send a token beyond loopback without TLS, on purpose');
}

/** The settings from the flags. Rejects with `FILE_ERROR`. */
export async function callFlags(flags: CallFlags): Promise<Record<string, unknown>> {
  const { server, timeout, tokenFile, tls, tlsCa, tlsCert, tlsKey, tlsServerName } = flags;
  const token = tokenFile === undefined ? undefined : await readTokenFile(tokenFile);
  const { allowPlaintext } = flags;
  const files = { tls, tlsCa, tlsCert, tlsKey, tlsServerName };
  return { serverAddr: server, timeoutMs: timeout, token, allowPlaintext, ...files };
}

/** How to call a server. @throws EncServerError `BAD_CONFIG` */
export function linkOf(
  section: Config['feClientConfigs'] | Config['beClientConfigs'],
): CallSettings & { readonly timeoutMs: number } {
  return { ...framesCallOf(section), timeoutMs: section.timeoutMs };
}

async function readTokenFile(path: string): Promise<string> {
  const token = (await readBytes(path, TOKEN_FILE_BYTES_MAX))?.toString('utf8').trim();
  if (token !== undefined && /^[\x21-\x7e]{1,4096}$/.test(token)) return token;
  throw new EncServerError('FILE_ERROR', `${path} holds no token`, { hint: 'a token is one word' });
}
