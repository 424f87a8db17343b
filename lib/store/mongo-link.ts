/**
 * Knows whether MongoDB is there. The driver reports what it sees of the servers; once none takes
 * writes, everything is refused at once, until one does again and the database has been checked to
 * be the right one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { MongoClient, ServerDescription } from 'mongodb';
import { EncServerError } from '../errors.ts';

import { type Answered, MongoAnswers } from './mongo-answers.ts';
import { isRefusal, reasonOf } from './mongo-error.ts';
import type { StoreLog } from './open.ts';

/** Time between two attempts, in milliseconds; doubles from the first to the longest. */
const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 2_000;
/** After this long without success the driver is reconnected: its monitoring may hang. */
const RENEW_AFTER_MS = 4_000;
/** Errors that waiting does not mend; a server does not start with them. */
const FATAL: readonly string[] = ['BAD_CONFIG', 'STORE_DAMAGED'];

export interface MongoLinkOptions {
  readonly client: MongoClient;
  /** Its location, for people. */
  readonly place: string;
  /** Asks the database whether it can be used; called each time it comes back. */
  readonly prepare: () => Promise<void>;
  readonly log: StoreLog | undefined;
}

export class MongoLink {
  readonly #options: MongoLinkOptions;
  readonly #stop = new AbortController();
  #isUp = false;
  #reason = 'MongoDB has not been reached yet';
  /** The driver may have no connection left that answers. */
  #isStuck = false;
  /** To be used for every command. */
  readonly answered: Answered;
  #recovering: Promise<void> = Promise.resolve();

  constructor(options: MongoLinkOptions) {
    this.#options = options;
    this.answered = new MongoAnswers(options.client, () => this.#loseStuck()).answered;
    options.client.on('topologyDescriptionChanged', ({ newDescription }) => {
      this.#see([...newDescription.servers.values()]);
    });
  }

  /**
   * Tries once. Resolves if MongoDB is there, and also if it does not answer; then it retries in
   * the background.
   *
   * @throws EncServerError `BAD_CONFIG` if MongoDB refuses its user, or a newer release made the
   *   database, or another index stands in the way of ours, or a file that the connection string
   *   names cannot be read; `STORE_DAMAGED`
   */
  async start(): Promise<void> {
    const error = await this.#attempt();
    if (error !== undefined && FATAL.includes(error.code)) throw error;
    if (error !== undefined) this.#recovering = this.#recover();
  }

  /** Why nothing can be done at the moment, in words; undefined if it can. */
  get refusal(): string | undefined {
    return this.#isUp ? undefined : this.#reason;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#recovering;
    await this.#options.client.close();
  }

  #see(servers: readonly ServerDescription[]): void {
    if (!this.#isUp || this.#stop.signal.aborted || servers.some((one) => one.isWritable)) return;
    const { log, place } = this.#options;
    const error = servers.find((one) => one.error !== null)?.error;
    log?.('warn', 'MongoDB is away', { place, reason: reasonOf(error) });
    this.#lose('no server of MongoDB takes writes');
  }

  /** Refuses everything until the right database is there: for one that is found to be another. */
  distrust(reason: string): void {
    if (!this.#isUp || this.#stop.signal.aborted) return;
    const { log, place } = this.#options;
    log?.('warn', 'MongoDB cannot be used', { place, reason });
    this.#lose(reason);
  }

  #loseStuck(): void {
    this.#isStuck = true;
    if (!this.#isUp || this.#stop.signal.aborted) return;
    const { log, place } = this.#options;
    log?.('warn', 'MongoDB gave no answer', { place });
    this.#lose('MongoDB gave no answer');
  }

  #lose(reason: string): void {
    this.#isUp = false;
    this.#reason = reason;
    this.#recovering = this.#recover();
  }

  async #recover(): Promise<void> {
    const { signal } = this.#stop;
    let renewAtMs = performance.now() + RENEW_AFTER_MS;
    for (let waitMs = FIRST_DELAY_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_DELAY_MS)) {
      // Jitter, since all servers lose MongoDB at once. Rejects when the signal comes.
      await delay(waitMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      if (this.#isStuck || performance.now() > renewAtMs) {
        this.#isStuck = false;
        renewAtMs = performance.now() + RENEW_AFTER_MS;
        await this.#options.client.close().catch(() => undefined);
      }
      if (signal.aborted || (await this.#attempt()) === undefined) return;
    }
  }

  /**
   * Resolves to the error if it failed. Searching for a server makes the driver check more often.
   */
  async #attempt(): Promise<EncServerError | undefined> {
    const { client, log, place, prepare } = this.#options;
    try {
      // A client whose first connection failed stays closed unless it is told to connect again.
      await this.answered(client.connect());
      await prepare();
      this.#isUp = true;
      log?.('info', 'MongoDB is there', { place });
      return undefined;
    } catch (thrown) {
      const error = startError(thrown);
      if (this.#reason !== error.message) {
        // Our own words quote no connection string.
        const reason = error === thrown ? error.message : reasonOf(thrown);
        log?.('warn', 'MongoDB cannot be used', { place, reason });
      }
      this.#reason = error.message;
      return error;
    }
  }
}

/** The driver reads the files of the connection string when it connects; a folder opens as well. */
function isFileError(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false;
  const { syscall, code } = cause as NodeJS.ErrnoException;
  return syscall === 'open' || code === 'EISDIR';
}

function startError(cause: unknown): EncServerError {
  if (isRefusal(cause)) {
    return new EncServerError('BAD_CONFIG', 'MongoDB refuses the user or password of mongoURI', {
      hint: 'check user, password and authSource in mongoURI, and the rights of the user',
      cause,
    });
  }
  if (isFileError(cause)) {
    return new EncServerError('BAD_CONFIG', 'a file that mongoURI names cannot be read', {
      hint: 'check the paths in mongoURI, such as that of tlsCAFile, and their permissions',
      cause,
    });
  }
  if (cause instanceof EncServerError && FATAL.includes(cause.code)) return cause;
  return new EncServerError('UNAVAILABLE', 'MongoDB cannot be reached', { cause });
}
