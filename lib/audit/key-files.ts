/**
 * The files that an audit log begins with: what its server keeps, what its auditor takes away,
 * and the public key of its checkpoints.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { open, readFile, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder, writeSynced } from '../durable-file.ts';
import { EncServerError } from '../errors.ts';
import { fileError } from '../file-error.ts';
import { refuseOthers } from '../secret-file.ts';
import { CHAIN_BYTES, NO_MAC } from './chain.ts';
import { readPublicKey } from './checkpoint.ts';
import { StateFile } from './state-file.ts';

/** What a server keeps for the whole life of a log. */
export interface AuditKey {
  /** The ID of the log, 32 hexadecimal digits. */
  readonly log: string;
  /** The log names records by their HMAC under this key, 32 bytes. */
  readonly nameKey: Buffer;
  /** Signs checkpoints. */
  readonly signingKey: KeyObject;
}

/** Proves every line of a log, and could forge them: it is kept away from the server. */
export interface VerificationKey {
  readonly log: string;
  /** The key of the first line, 32 bytes. */
  readonly startKey: Buffer;
  readonly publicKey: KeyObject;
}

export interface NewAuditFiles {
  readonly keyFile: string;
  readonly verificationKeyFile: string;
  readonly publicKeyFile: string;
}

const KEY_KIND = 'enc-server-ts audit key v1';
const VERIFICATION_KIND = 'enc-server-ts audit verification key v1';
const LOG_ID_BYTES = 16;
const LOG_ID = /^[0-9a-f]{32}$/;
const KEY_DIGITS = /^[0-9a-f]{64}$/;

/** Where the state of a log is: next to its key. */
export function stateFileOf(keyFile: string): string {
  return `${keyFile}.state`;
}

/**
 * Makes all files of a new log; resolves to its ID. Rejects with `FILE_ERROR`, also if one of them
 * exists: none is overwritten, and those already made are removed again.
 */
export async function initAudit(files: NewAuditFiles): Promise<string> {
  const log = randomBytes(LOG_ID_BYTES).toString('hex');
  const startKey = randomBytes(CHAIN_BYTES);
  const pair = generateKeyPairSync('ed25519');
  const signingKey = pair.privateKey.export({ type: 'pkcs8', format: 'pem' });
  const publicKey = pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const nameKey = randomBytes(CHAIN_BYTES).toString('hex');
  const key = { kind: KEY_KIND, log, nameKey, signingKey };
  const verification = {
    kind: VERIFICATION_KIND,
    log,
    startKey: startKey.toString('hex'),
    publicKey,
  };
  const start = { count: 0, key: startKey, head: NO_MAC, fileNumber: 1, offset: 0 };
  const statePath = stateFileOf(files.keyFile);
  const made: string[] = [];
  const make = async (path: string, work: () => Promise<void>) => {
    await work();
    made.push(path);
  };
  try {
    const { verificationKeyFile, publicKeyFile, keyFile } = files;
    await make(verificationKeyFile, () => writeNew(verificationKeyFile, verification, 0o600));
    await make(publicKeyFile, () => writeNew(publicKeyFile, publicKey, 0o644));
    await make(statePath, () => StateFile.create(statePath, start));
    await make(keyFile, () => writeNew(keyFile, key, 0o600));
  } catch (thrown) {
    for (const path of made) await unlink(path).catch(() => undefined);
    throw thrown;
  }
  return log;
}

/** Rejects with `FILE_ERROR`, also if others may read the file. */
export async function readAuditKey(path: string): Promise<AuditKey> {
  const { kind, log, nameKey, signingKey } = await readSecret(path);
  if (kind !== KEY_KIND || !isLogId(log) || !isKey(nameKey)) throw wrongFile(path, 'audit key');
  try {
    return {
      log,
      nameKey: Buffer.from(nameKey, 'hex'),
      signingKey: createPrivateKey(String(signingKey)),
    };
  } catch {
    throw wrongFile(path, 'audit key');
  }
}

/** Rejects with `FILE_ERROR`. */
export async function readVerificationKey(path: string): Promise<VerificationKey> {
  const { kind, log, startKey, publicKey } = await readSecret(path);
  if (kind !== VERIFICATION_KIND || !isLogId(log) || !isKey(startKey)) {
    throw wrongFile(path, 'verification key of an audit log');
  }
  try {
    return {
      log,
      startKey: Buffer.from(startKey, 'hex'),
      publicKey: readPublicKey(String(publicKey)),
    };
  } catch {
    throw wrongFile(path, 'verification key of an audit log');
  }
}

async function readSecret(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    const file = await open(path, 'r');
    try {
      refuseOthers(path, await file.stat());
      text = await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (thrown) {
    throw fileError('cannot read', path, thrown);
  }
  try {
    return { ...JSON.parse(text) };
  } catch {
    throw wrongFile(path, 'key of an audit log');
  }
}

/** Only the public key of checkpoints. Rejects with `FILE_ERROR`. */
export async function readPublicKeyFile(path: string): Promise<KeyObject> {
  const pem = await readFile(path, 'utf8').catch((thrown: unknown) => {
    throw fileError('cannot read', path, thrown);
  });
  try {
    return readPublicKey(pem);
  } catch {
    throw wrongFile(path, 'public key of an audit log');
  }
}

async function writeNew(path: string, content: object | string, mode: number): Promise<void> {
  const text = typeof content === 'string' ? content : `${JSON.stringify(content, undefined, 2)}\n`;
  try {
    await writeSynced(path, text, mode);
    await syncFolder(dirname(path));
  } catch (thrown) {
    throw fileError('cannot make', path, thrown, 'no file is overwritten; name a new one');
  }
}

function isLogId(value: unknown): value is string {
  return typeof value === 'string' && LOG_ID.test(value);
}

function isKey(value: unknown): value is string {
  return typeof value === 'string' && KEY_DIGITS.test(value);
}

function wrongFile(path: string, what: string): EncServerError {
  const hint = 'enc-server audit init makes the files of a log';
  return new EncServerError('FILE_ERROR', `${path} is no ${what}`, { hint });
}
