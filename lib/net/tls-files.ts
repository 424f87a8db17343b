/** The files of TLS: certificates, keys and authorities, all PEM. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import {
  type ConnectionOptions,
  checkServerIdentity,
  connect,
  type SecureContextOptions,
  type TLSSocket,
} from 'node:tls';
import { EncServerError } from '../errors.ts';
import { fileError } from '../file-error.ts';

/** What a client needs to call a server over TLS. Paths of PEM files; empty counts as absent. */
export interface TlsClientFiles {
  /** The authority of the server; default: those of the system. */
  readonly tlsCa?: string | undefined;
  /** The client's own certificate; `tlsKey` goes with it. */
  readonly tlsCert?: string | undefined;
  /** The key of `tlsCert`. */
  readonly tlsKey?: string | undefined;
  /** The name that must stand in the server's certificate; default: the host that is called. */
  readonly tlsServerName?: string | undefined;
}

/** What a server needs to speak TLS. Paths of PEM files. */
export interface TlsServerFiles {
  readonly tlsCert: string;
  readonly tlsKey: string;
  readonly tlsClientCa: string;
}

const OTHERS = 0o007;

/** Reads the files of a server. Rejects with `FILE_ERROR`. */
export async function readServerFiles(files: TlsServerFiles): Promise<SecureContextOptions> {
  const [cert, key, ca] = await Promise.all([
    readPem(files.tlsCert),
    readKey(files.tlsKey),
    files.tlsClientCa === '' ? undefined : readAuthority(files.tlsClientCa),
  ]);
  return { cert, key, ...(ca && { ca }) };
}

/** A mark that changes when one of the files does. Rejects with `FILE_ERROR`. */
export async function lookAtFiles(files: TlsServerFiles): Promise<string> {
  const paths = [files.tlsCert, files.tlsKey, files.tlsClientCa].filter(Boolean);
  const facts = paths.map(async (path) => {
    const { ino, size, mtimeMs } = await stat(path).catch((cause) => {
      throw fileError('cannot read', path, cause);
    });
    return `${ino} ${size} ${mtimeMs}`;
  });
  return (await Promise.all(facts)).join();
}

/**
 * Calls a server over TLS. The files are read at each call, so that a renewed certificate is
 * used by the next connection; they are few and small.
 *
 * @throws EncServerError `FILE_ERROR`
 */
export function connectTls(
  address: { readonly host: string; readonly port: number },
  files: TlsClientFiles,
): TLSSocket {
  const name = files.tlsServerName || address.host;
  const options: ConnectionOptions = {
    ...address,
    minVersion: 'TLSv1.2',
    // A server that is called by its address has no name to ask for (RFC 6066 section 3).
    ...(isIP(name) === 0 && { servername: name }),
    ...(files.tlsCa && { ca: authorityIn(files.tlsCa, readSync(files.tlsCa)) }),
    ...(files.tlsCert && { cert: readSync(files.tlsCert) }),
    ...(files.tlsKey && { key: readSync(files.tlsKey) }),
    ...(files.tlsServerName && { checkServerIdentity: checkName(name) }),
  };
  try {
    return connect(options).setNoDelay(true).setKeepAlive(true);
  } catch (cause) {
    const hint = 'check --tls-ca, --tls-cert and --tls-key';
    throw new EncServerError('FILE_ERROR', 'the files of TLS cannot be used', { hint, cause });
  }
}

/** The TLS failure behind an error, in words; undefined if it has nothing to do with TLS. */
export function tlsErrorOf(error: NodeJS.ErrnoException): EncServerError | undefined {
  const { code = '' } = error;
  const words = WORDS.find(([pattern]) => pattern.test(code));
  if (words === undefined) return undefined;
  const [, message, hint] = words;
  return new EncServerError('TLS_FAILED', `${message} (${code})`, { hint, cause: error });
}

const WORDS: readonly (readonly [RegExp, string, string])[] = [
  [
    // OpenSSL names the alert SSLV3_… before 3.2, and SSL/TLS_… since.
    /^ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|\S+_ALERT_HANDSHAKE_FAILURE)$/,
    'the server speaks no TLS there, or none that this program knows',
    'leave the TLS settings out, or look at the port',
  ],
  [
    /^CERT_HAS_EXPIRED$|CERTIFICATE_EXPIRED$|^CERT_NOT_YET_VALID$/,
    'a certificate has expired, or is not valid yet',
    'renew it: enc-server keys tls-init --renew makes those for development',
  ],
  [
    /^ERR_TLS_CERT_ALTNAME_INVALID$|^HOSTNAME_MISMATCH$/,
    'the certificate of the server is for another name',
    'call it by a name in it, or set --tls-server-name',
  ],
  [
    /^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_UNTRUSTED|INVALID_CA|CERT_SIGNATURE)/,
    'the certificate of the server comes from an unknown authority',
    'name its authority with --tls-ca',
  ],
  [
    /^(?:INVALID_PURPOSE|PATH_LENGTH_EXCEEDED)$/,
    'the certificate of the server was not issued for a server',
    'look at its extended key usage: it takes serverAuth',
  ],
  [
    /^(?:ERR_SSL|ERR_TLS|CERT|CRL|ERROR_IN)_|^EPROTO$|^UNSPECIFIED$/,
    'the TLS handshake failed',
    'see the log of the server',
  ],
];

/** A given name is checked in place of the host that is called. */
function checkName(name: string): NonNullable<ConnectionOptions['checkServerIdentity']> {
  return (_host, certificate) => checkServerIdentity(name, certificate);
}

function readSync(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw fileError('cannot read', path, cause);
  }
}

async function readPem(path: string): Promise<Buffer> {
  return await readFile(path).catch((cause) => {
    throw fileError('cannot read', path, cause);
  });
}

/** For a file that is something else, OpenSSL would silently trust nobody. */
function authorityIn(path: string, pem: Buffer): Buffer {
  try {
    new X509Certificate(pem);
    return pem;
  } catch (cause) {
    const hint = 'an authority is one certificate or more, in PEM';
    throw new EncServerError('FILE_ERROR', `${path} holds no certificate`, { hint, cause });
  }
}

async function readAuthority(path: string): Promise<Buffer> {
  return authorityIn(path, await readPem(path));
}

/** A group may read the file: that is how secrets are mounted into containers. */
async function readKey(path: string): Promise<Buffer> {
  const key = await readPem(path);
  if (((await stat(path)).mode & OTHERS) === 0) return key;
  throw new EncServerError('FILE_ERROR', `${path}: others may use it`, { hint: 'chmod 600 it' });
}
