/**
 * Room on the disk. LevelDB needs space to open, because it first turns its log into tables. So a
 * file of random bytes is kept, which is deleted when a full disk keeps the database from opening,
 * and made again when there is room.
 */
import { randomFillSync } from 'node:crypto';
import { open, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { WRITE_BUFFER_BYTES } from './level-database.ts';
import type { StoreLog } from './open.ts';
import { BODY_BYTES_MAX } from './value.ts';

/** Two logs of one write buffer each can wait to become tables, and the last write may overrun. */
export const RESERVE_BYTES = 2 * WRITE_BUFFER_BYTES + BODY_BYTES_MAX;
/** How often to check the free space, in milliseconds. */
const SPACE_CHECK_MS = 5_000;
/**
 * Delay before the file is made: it is large, and a start has better things to do. In milliseconds.
 */
const FIRST_CHECK_MS = 1_000;
/** Random, so that no file system can store it in less space. */
const CHUNK_BYTES = 1024 * 1024;

export interface ReserveOptions {
  /** The file; outside the database's folder, in which nothing may be opened. */
  readonly path: string;
  readonly bytes?: number | undefined;
  readonly checkMs?: number | undefined;
  readonly log?: StoreLog | undefined;
}

export class Reserve {
  readonly #path: string;
  readonly #bytes: number;
  readonly #log: StoreLog | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #first: NodeJS.Timeout;
  #isHeld = false;
  #isLow = false;
  #isFull = false;
  #check: Promise<void> | undefined;

  /** Checks the disk now and every `checkMs`; makes the file soon, if there is room. */
  constructor(options: ReserveOptions) {
    this.#path = options.path;
    this.#bytes = options.bytes ?? RESERVE_BYTES;
    this.#log = options.log;
    this.#timer = setInterval(() => void this.check(), options.checkMs ?? SPACE_CHECK_MS);
    this.#timer.unref();
    void this.#guarded(() => this.#weigh());
    this.#first = setTimeout(() => void this.check(), FIRST_CHECK_MS);
    this.#first.unref();
  }

  /** Whether less space is free than the size of the reserve. */
  get isLow(): boolean {
    return this.#isLow;
  }

  /**
   * Whether a write failed or the reserve was given up, and there has been too little room since.
   */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Checks the disk. Never rejects: a disk that does not answer changes nothing. */
  check(): Promise<void> {
    this.#check ??= this.#guarded(() => this.#look()).finally(() => {
      this.#check = undefined;
    });
    return this.#check;
  }

  /** After a failed write: if space is low, nothing more is written until there is room again. */
  async noteFailedWrite(): Promise<void> {
    await this.check();
    if (this.#isLow) this.#isFull = true;
  }

  /** Gives the space up. Resolves to whether there was any to give. */
  async release(): Promise<boolean> {
    await this.#check;
    this.#isHeld = false;
    if ((await fileBytes(this.#path)) === 0) return false;
    this.#isFull = true;
    await rm(this.#path, { force: true });
    this.#log?.('warn', 'the reserve was given up to open the database');
    return true;
  }

  /** Stops checking. The file stays for the next start. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    clearTimeout(this.#first);
    await this.#check;
  }

  async #look(): Promise<void> {
    this.#isHeld = await this.#make();
    await this.#weigh();
    if (this.#isHeld && !this.#isLow) this.#isFull = false;
  }

  /** Checks whether space is low. */
  async #weigh(): Promise<void> {
    const isLow = (await this.#freeBytes()) < this.#bytes;
    if (isLow === this.#isLow) return;
    this.#isLow = isLow;
    if (isLow) this.#log?.('warn', 'the disk is nearly full', { reserve: this.#bytes });
    else this.#log?.('info', 'the disk has room again');
  }

  async #guarded(look: () => Promise<void>): Promise<void> {
    try {
      await look();
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : 'unknown';
      this.#log?.('warn', 'the free space of the disk could not be checked', { reason });
    }
  }

  /** Makes the file if it does not exist. Resolves to whether it exists. */
  async #make(): Promise<boolean> {
    if ((await fileBytes(this.#path)) >= this.#bytes) return true;
    // Twice the size, so that the reserve itself does not make space low.
    if ((await this.#freeBytes()) < 2 * this.#bytes) return false;
    const chunk = randomFillSync(Buffer.allocUnsafe(Math.min(CHUNK_BYTES, this.#bytes)));
    const file = await open(this.#path, 'w', 0o600);
    try {
      for (let left = this.#bytes; left > 0; left -= chunk.length) {
        await file.writeFile(chunk.subarray(0, Math.min(left, chunk.length)));
      }
      return true;
    } catch (thrown) {
      await rm(this.#path, { force: true });
      throw thrown;
    } finally {
      await file.close();
    }
  }

  async #freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(dirname(this.#path));
    return bavail * bsize;
  }
}

/** Bytes that the file really occupies on the disk: after a crash its nominal size may be wrong. */
async function fileBytes(path: string): Promise<number> {
  try {
    const { size, blocks } = await stat(path);
    return Math.min(size, blocks * 512);
  } catch {
    return 0;
  }
}
