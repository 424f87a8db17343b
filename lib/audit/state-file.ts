/**
 * The position of a chain, on disk: the key of the next line, and how far the log was written. It
 * is written in place, alternating between two slots of 4 KiB, so that a full disk never prevents
 * it and a power cut never damages both. The older one is wiped once the newer is on disk, as its
 * key must not be found later.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder, writeSynced } from '../durable-file.ts';
import { EncServerError } from '../errors.ts';
import { fileError } from '../file-error.ts';
import { refuseOthers } from '../secret-file.ts';
import { CHAIN_BYTES, type ChainState } from './chain.ts';

/** A state and how far it reaches. */
export interface LogState extends ChainState {
  /** The file that holds the last line: 1 for the first, one more for each that was put aside. */
  readonly fileNumber: number;
  /** Where in that file the next line begins, in bytes. */
  readonly offset: number;
}

/** A size that file systems write atomically, or nearly so. */
const SLOT_BYTES = 4096;

export class StateFile {
  readonly #file: FileHandle;
  /** The slot that holds the newest state. */
  #slot: 0 | 1;

  private constructor(file: FileHandle, slot: 0 | 1) {
    this.#file = file;
    this.#slot = slot;
  }

  /** Makes the file (0600), which must not exist. Rejects with `FILE_ERROR`. */
  static async create(path: string, state: LogState): Promise<void> {
    try {
      await writeSynced(path, Buffer.concat([encode(state), Buffer.alloc(SLOT_BYTES)]));
      await syncFolder(dirname(path));
    } catch (thrown) {
      throw fileError('cannot make the audit state', path, thrown);
    }
  }

  /** Rejects with `FILE_ERROR`, also if others may read the file or it is damaged. */
  static async open(path: string): Promise<{ readonly file: StateFile; readonly state: LogState }> {
    try {
      const file = await open(path, 'r+');
      try {
        const { state, slot } = await read(file, path);
        return { file: new StateFile(file, slot), state };
      } catch (thrown) {
        await file.close();
        throw thrown;
      }
    } catch (thrown) {
      const hint = 'enc-server audit init makes it, beside the key file';
      throw fileError('cannot use the audit state', path, thrown, hint);
    }
  }

  /** When it resolves, the state is on disk and the previous one is overwritten. */
  async write(state: LogState): Promise<void> {
    const next = this.#slot === 0 ? 1 : 0;
    await this.#file.write(encode(state), 0, SLOT_BYTES, next * SLOT_BYTES);
    await this.#file.datasync();
    const before = this.#slot;
    this.#slot = next;
    // Reaches the disk with the next state; a crash before that leaves two, and the newer one
    // counts.
    await this.#file.write(Buffer.alloc(SLOT_BYTES), 0, SLOT_BYTES, before * SLOT_BYTES);
  }

  async close(): Promise<void> {
    await this.#file.datasync().finally(() => this.#file.close());
  }
}

/** The state of a log, for reading only. Rejects with `FILE_ERROR`. */
export async function readState(path: string): Promise<LogState> {
  try {
    const file = await open(path, 'r');
    try {
      return (await read(file, path)).state;
    } finally {
      await file.close();
    }
  } catch (thrown) {
    throw fileError('cannot read the audit state', path, thrown);
  }
}

async function read(file: FileHandle, path: string): Promise<{ state: LogState; slot: 0 | 1 }> {
  refuseOthers(path, await file.stat());
  const bytes = Buffer.alloc(2 * SLOT_BYTES);
  await file.read(bytes, 0, bytes.length, 0);
  const first = decode(bytes.subarray(0, SLOT_BYTES));
  const second = decode(bytes.subarray(SLOT_BYTES));
  bytes.fill(0);
  if (second !== undefined && (first === undefined || second.count > first.count)) {
    return { state: second, slot: 1 };
  }
  if (first !== undefined) return { state: first, slot: 0 };
  const hint = 'keep this log for the auditor, and begin another: enc-server audit init';
  throw new EncServerError('FILE_ERROR', `the audit state ${path} is damaged`, { hint });
}

/** JSON, a line feed, the SHA-256 of both, a line feed, and zeros. */
function encode({ count, key, head, fileNumber, offset }: LogState): Buffer {
  const hex = { key: key.toString('hex'), head: head.toString('hex') };
  const text = `${JSON.stringify({ count, ...hex, fileNumber, offset })}\n`;
  const slot = Buffer.alloc(SLOT_BYTES);
  slot.write(`${text}${sumOf(text)}\n`);
  return slot;
}

function decode(slot: Buffer): LogState | undefined {
  const [json = '', sum] = slot.toString('latin1').split('\n', 2);
  if (sum !== sumOf(`${json}\n`)) return undefined;
  const { count, key, head, fileNumber, offset } = JSON.parse(json);
  const bytes = { key: Buffer.from(key, 'hex'), head: Buffer.from(head, 'hex') };
  if (bytes.key.length !== CHAIN_BYTES || bytes.head.length !== CHAIN_BYTES) return undefined;
  return { count, ...bytes, fileNumber, offset };
}

function sumOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
