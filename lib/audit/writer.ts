/** Puts lines on disk, then the state after them; full files are put aside. */
import { constants } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder, writeAt } from '../durable-file.ts';
import { fileError } from '../file-error.ts';
import type { ChainState } from './chain.ts';
import { numberedFile } from './log-files.ts';
import type { LogState, StateFile } from './state-file.ts';

export class LogWriter {
  readonly #path: string;
  readonly #bytesMax: number;
  readonly #stateFile: StateFile;
  #file: FileHandle;
  #chain: ChainState;
  #fileNumber: number;
  /** Where the next line goes; anything beyond it is not part of the log. */
  #offset: number;
  /** Set after the full file was renamed, until the next one exists. */
  #isBetween = false;

  private constructor(
    path: string,
    bytesMax: number,
    stateFile: StateFile,
    file: FileHandle,
    state: LogState,
  ) {
    this.#path = path;
    this.#bytesMax = bytesMax;
    this.#stateFile = stateFile;
    this.#file = file;
    this.#chain = state;
    this.#fileNumber = state.fileNumber;
    this.#offset = state.offset;
  }

  /**
   * Continues at `state`; the file is made (0600) if it does not exist. One that reaches `bytesMax`
   * is put aside before the next line. Rejects with `FILE_ERROR`.
   */
  static async open(
    path: string,
    bytesMax: number,
    stateFile: StateFile,
    state: LogState,
  ): Promise<LogWriter> {
    const file = await openLogFile(path).catch((thrown: unknown) => {
      throw fileError('cannot write the audit log', path, thrown);
    });
    return new LogWriter(path, bytesMax, stateFile, file, state);
  }

  /** The position of the chain on disk. */
  get chain(): ChainState {
    return this.#chain;
  }

  /**
   * When it resolves, the lines and the state after them are on disk, and the keys before it are
   * wiped. When it rejects, the log is unchanged; the same lines or others may follow. With
   * `goesOn`, the lines stay in the current file, however full it is, because they refer to its
   * content.
   */
  async write(lines: string, chain: ChainState, goesOn: boolean): Promise<void> {
    const bytes = Buffer.from(lines);
    if (this.#offset >= this.#bytesMax && !goesOn) await this.#putAside();
    try {
      await writeAt(this.#file, bytes, this.#offset);
      await this.#file.datasync();
      const offset = this.#offset + bytes.length;
      await this.#stateFile.write({ ...chain, fileNumber: this.#fileNumber, offset });
      this.#offset = offset;
    } catch (thrown) {
      // Half a line in the middle would look like tampering.
      await this.#file.truncate(this.#offset).catch(() => undefined);
      throw thrown;
    }
    this.#chain.key.fill(0);
    this.#chain = chain;
  }

  async close(): Promise<void> {
    await this.#file.close();
    await this.#stateFile.close();
  }

  async #putAside(): Promise<void> {
    if (!this.#isBetween) await rename(this.#path, numberedFile(this.#path, this.#fileNumber));
    this.#isBetween = true;
    const next = await openLogFile(this.#path);
    await this.#file.close();
    this.#file = next;
    this.#isBetween = false;
    this.#fileNumber++;
    this.#offset = 0;
  }
}

/** Made if it does not exist, and then durable. */
async function openLogFile(path: string): Promise<FileHandle> {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  const file = await open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  await syncFolder(dirname(path));
  return file;
}
