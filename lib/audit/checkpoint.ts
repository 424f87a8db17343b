/**
 * Checkpoints: how many lines an audit log had and the MAC of the last one, signed (Ed25519, RFC
 * 8032). Kept elsewhere, they prove the state of the log to people who do not have its key.
 */
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { open } from 'node:fs/promises';
import { fileError } from '../file-error.ts';

export interface Checkpoint {
  /** The ID of the log, 32 hexadecimal digits. */
  readonly log: string;
  /** When it was signed (RFC 3339, UTC). */
  readonly time: string;
  /** Lines that the log had. */
  readonly count: number;
  /** The MAC of the last of them, 64 hexadecimal digits. */
  readonly head: string;
}

export interface SignedCheckpoint extends Checkpoint {
  /** 128 hexadecimal digits. */
  readonly signature: string;
}

const DOMAIN = 'enc-server-ts audit checkpoint v1';
const LOG_ID = /^[0-9a-f]{32}$/;
const HEAD = /^[0-9a-f]{64}$/;
const SIGNATURE = /^[0-9a-f]{128}$/;

/** What is signed: five lines. */
function textOf({ log, time, count, head }: Checkpoint): Buffer {
  return Buffer.from(`${DOMAIN}\n${log}\n${time}\n${count}\n${head}\n`);
}

export function signCheckpoint(checkpoint: Checkpoint, key: KeyObject): SignedCheckpoint {
  return { ...checkpoint, signature: sign(null, textOf(checkpoint), key).toString('hex') };
}

export function isSigned(checkpoint: SignedCheckpoint, publicKey: KeyObject): boolean {
  const signature = Buffer.from(checkpoint.signature, 'hex');
  return verify(null, textOf(checkpoint), publicKey, signature);
}

/** A public key as files hold it: PEM of SPKI (RFC 8410). @throws Error for another kind of key */
export function readPublicKey(pem: string): KeyObject {
  const key = createPublicKey(pem);
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw new Error('it is no Ed25519 key');
}

/** A line of a checkpoint file; undefined if it is malformed. */
export function parseCheckpoint(line: string): SignedCheckpoint | undefined {
  try {
    const { log, time, count, head, signature } = JSON.parse(line);
    if (![log, time, head, signature].every((part) => typeof part === 'string')) return undefined;
    if (!LOG_ID.test(log) || !HEAD.test(head) || !SIGNATURE.test(signature)) return undefined;
    if (!Number.isSafeInteger(count) || count < 0 || time.includes('\n')) return undefined;
    return { log, time, count, head, signature };
  } catch {
    return undefined;
  }
}

/** Adds a line to a checkpoint file (0600). When it resolves, it is on disk. */
export async function appendCheckpoint(path: string, checkpoint: SignedCheckpoint): Promise<void> {
  try {
    const file = await open(path, 'a+', 0o600);
    try {
      // Begins a new line after a torn one.
      const { size } = await file.stat();
      const last = Buffer.alloc(1, '\n');
      if (size > 0) await file.read(last, 0, 1, size - 1);
      const start = last.toString() === '\n' ? '' : '\n';
      await file.appendFile(`${start}${JSON.stringify(checkpoint)}\n`);
      await file.datasync();
    } finally {
      await file.close();
    }
  } catch (thrown) {
    throw fileError('cannot write checkpoints to', path, thrown);
  }
}
