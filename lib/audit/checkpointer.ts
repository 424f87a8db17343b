/** Signs the state of a log: every so many lines, every so often, and when it is closed. */
import type { Logger } from '../log.ts';
import type { ChainState } from './chain.ts';
import { appendCheckpoint, type SignedCheckpoint, signCheckpoint } from './checkpoint.ts';
import type { AuditKey } from './key-files.ts';

export interface CheckpointSettings {
  readonly file: string;
  /** The most lines between two checkpoints, approximately. */
  readonly lines: number;
  /** The most milliseconds between two checkpoints, if there are new lines. */
  readonly ms: number;
}

export class Checkpointer {
  readonly #settings: CheckpointSettings;
  readonly #key: AuditKey;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  /** Lines that the last checkpoint covered. */
  #signedCount = 0;
  #newest: Pick<ChainState, 'count' | 'head'> | undefined;
  #writing: Promise<void> = Promise.resolve();
  #failed = 0;

  constructor(settings: CheckpointSettings, key: AuditKey, log: Logger) {
    this.#settings = settings;
    this.#key = key;
    this.#log = log;
    this.#timer = setInterval(() => this.#sign(), settings.ms);
    this.#timer.unref();
  }

  get failed(): number {
    return this.#failed;
  }

  /** Told the position of the chain on disk. */
  reached({ count, head }: ChainState): void {
    this.#newest = { count, head };
    if (count - this.#signedCount >= this.#settings.lines) this.#sign();
  }

  /** Signs the end; resolves when that is written, or could not be. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#sign();
    await this.#writing;
  }

  #sign(): void {
    const newest = this.#newest;
    if (newest === undefined || newest.count === this.#signedCount) return;
    this.#signedCount = newest.count;
    const checkpoint = signCheckpoint(
      {
        log: this.#key.log,
        time: new Date().toISOString(),
        count: newest.count,
        head: newest.head.toString('hex'),
      },
      this.#key.signingKey,
    );
    this.#writing = this.#writing.then(() => this.#write(checkpoint));
  }

  /** Also logs it: whoever collects the server's log has it elsewhere. Never rejects. */
  async #write(checkpoint: SignedCheckpoint): Promise<void> {
    this.#log.info({ checkpoint: JSON.stringify(checkpoint) }, 'audit checkpoint');
    try {
      await appendCheckpoint(this.#settings.file, checkpoint);
    } catch (err) {
      this.#failed++;
      this.#log.error({ err }, 'an audit checkpoint could not be written');
    }
  }
}
