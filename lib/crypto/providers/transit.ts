/**
 * A key wrapped by an HTTP service: `encrypt` and `decrypt` in the form of HashiCorp Vault's
 * transit engine, which OpenBao has too. The service sees a fresh key of 32 bytes each time the
 * keyring is written, and none of the keyring's secrets; it is asked when a server starts or the
 * file changes, never for a record.
 */
import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { EncServerError } from '../../errors.ts';
import { KEY_BYTES } from '../../protocol/limits.ts';
import { damaged } from '../keyring-file.ts';
import { randomKey } from '../random.ts';
import type { DrawnKey, How } from './provider.ts';

export interface TransitSettings {
  /** The URL of the engine, such as `https://vault.example:8200/v1/transit`. */
  readonly url: string;
  /** The name of the key in the engine. */
  readonly key: string;
  readonly token: string;
  /** The authority of the service (PEM); empty for those of the system. */
  readonly ca: string;
  /** For the whole answer, however busily it drips. */
  readonly timeoutMs: number;
  /** Gives up what is asked. */
  readonly signal?: AbortSignal;
}

const ANSWER_BYTES_MAX = 64 * 1024;
const CIPHERTEXT = /^[\x21-\x7e]{1,4096}$/;
const KEY_NAME = /^[\w.-]{1,128}$/;

export async function drawFromTransit(settings: TransitSettings): Promise<DrawnKey> {
  const key = randomKey();
  const { ciphertext } = await ask(settings, 'encrypt', settings.key, {
    plaintext: key.toString('base64'),
  });
  if (typeof ciphertext !== 'string' || !CIPHERTEXT.test(ciphertext)) throw strange();
  return { key, how: { key: settings.key, ciphertext } };
}

/** Rejects with `KEYRING_LOCKED` when the service refuses, `UNAVAILABLE` when it is away. */
export async function keyFromTransit(settings: TransitSettings, how: How): Promise<Buffer> {
  const { key, ciphertext } = how;
  if (typeof key !== 'string' || !KEY_NAME.test(key)) {
    throw damaged("the name of the service's key in the keyring is malformed");
  }
  if (typeof ciphertext !== 'string' || !CIPHERTEXT.test(ciphertext)) {
    throw damaged('the wrapped key in the keyring is malformed');
  }
  const { plaintext } = await ask(settings, 'decrypt', key, { ciphertext });
  const opened = Buffer.from(typeof plaintext === 'string' ? plaintext : '', 'base64');
  if (opened.length !== KEY_BYTES) throw strange();
  return opened;
}

async function ask(
  settings: TransitSettings,
  operation: 'encrypt' | 'decrypt',
  key: string,
  body: object,
): Promise<Readonly<Record<string, unknown>>> {
  const url = new URL(`${settings.url.replace(/\/+$/, '')}/${operation}/${key}`);
  const { status, text } = await post(url, settings, JSON.stringify(body));
  if (status >= 500 || status === 429) {
    throw new EncServerError('UNAVAILABLE', `the key service answers ${status}`, {
      hint: AWAY_HINT,
    });
  }
  if (status !== 200) {
    const hint = 'look at keyringTransitToken, its policy, and the name of the key';
    throw new EncServerError('KEYRING_LOCKED', `the key service answers ${status}`, { hint });
  }
  try {
    const { data } = JSON.parse(text) as { data?: Readonly<Record<string, unknown>> };
    if (typeof data === 'object' && data !== null) return data;
  } catch {
    // The parser's own message quotes the answer.
  }
  throw strange();
}

async function post(
  url: URL,
  { token, ca, timeoutMs, signal }: TransitSettings,
  body: string,
): Promise<{ readonly status: number; readonly text: string }> {
  const authority = ca === '' ? undefined : await readFile(ca).catch(unreadable);
  const headers = { 'content-type': 'application/json', 'x-vault-token': token };
  const deadline = AbortSignal.timeout(timeoutMs);
  const ends = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
  const options = { method: 'POST', headers, ca: authority, signal: ends };
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return await new Promise((resolve, reject) => {
    const away = (cause: Error) => {
      if (cause instanceof EncServerError) return reject(cause);
      const reason = ends.aborted ? undefined : (cause as NodeJS.ErrnoException).code;
      const words = `the key service at ${url.host} cannot be reached (${reason ?? 'no answer'})`;
      reject(new EncServerError('UNAVAILABLE', words, { cause, hint: AWAY_HINT }));
    };
    const request = send(url, options, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > ANSWER_BYTES_MAX) response.destroy(strange());
        chunks.push(chunk);
      });
      response.on('error', away);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: response.statusCode ?? 0, text });
      });
    });
    request.on('error', away);
    request.end(body);
  });
}

const AWAY_HINT = 'start the key service; servers that have the keyring go on without it';

function unreadable(cause: unknown): never {
  throw new EncServerError('FILE_ERROR', 'the file of keyringTransitCa cannot be read', { cause });
}

function strange(): EncServerError {
  const hint = 'keyringTransitUrl is that of the engine, such as https://host:8200/v1/transit';
  return new EncServerError('KEYRING_LOCKED', 'the key service answers something else', { hint });
}
