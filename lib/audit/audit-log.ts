/**
 * The audit log of one server: who asked for what, on which record, and what became of it. Lines
 * that come while a group of them goes to disk form the next group, so that all who wait share the
 * cost of a sync.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { EncServerError, toEncServerError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Family } from '../metrics.ts';
import { type ChainState, sealLine } from './chain.ts';
import { Checkpointer, type CheckpointSettings } from './checkpointer.ts';
import { type Asked, operationLine, ownLine } from './entry.ts';
import { type AuditFacts, auditFamilies } from './facts.ts';
import { type AuditKey, readAuditKey, stateFileOf } from './key-files.ts';
import { lockLog } from './lock.ts';
import { type Recovered, recover, type Torn } from './recovery.ts';
import { StateFile } from './state-file.ts';
import { LogWriter } from './writer.ts';

export interface AuditSettings {
  /** The file that lines are written to. */
  readonly path: string;
  readonly keyFile: string;
  /** `closed`: nothing is answered without its line on disk; `open`: lines may be lost. */
  readonly failure: 'open' | 'closed';
  /** Size at which a file is put aside, in bytes. */
  readonly bytesMax: number;
  readonly checkpoints: CheckpointSettings;
}

interface Entry {
  readonly fields: object;
  /** Called when the line is on disk, or could not be put there. */
  readonly settle: ((error?: unknown) => void) | undefined;
}

/** The most lines of one group, so that no buffer grows without bound. */
const GROUP_LINES_MAX = 4_096;
/** The most lines without anyone waiting for them; further ones are lost. */
const WAITING_LINES_MAX = 16_384;
/** How often to retry while lines cannot be written, in milliseconds. */
const RETRY_MS = 250;

export class AuditLog {
  readonly #settings: AuditSettings;
  readonly #key: AuditKey;
  readonly #log: Logger;
  readonly #writer: LogWriter;
  readonly #checkpointer: Checkpointer;
  readonly #unlock: () => Promise<void>;
  #waiting: Entry[] = [];
  #flushing: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  /** Why lines cannot be written at the moment. */
  #failure: EncServerError | undefined;
  /** What was found at the end of the log; recorded before anything else, as soon as possible. */
  #end: Pick<Recovered, 'torn' | 'prefix'> | undefined;
  #isClosed = false;
  #lines = 0;
  #lost = 0;
  /** Lost lines that no line has reported yet. */
  #lostUntold = 0;

  private constructor(
    settings: AuditSettings,
    key: AuditKey,
    log: Logger,
    writer: LogWriter,
    end: Pick<Recovered, 'torn' | 'prefix'>,
    unlock: () => Promise<void>,
  ) {
    this.#settings = settings;
    this.#key = key;
    this.#log = log;
    this.#writer = writer;
    this.#end = end;
    this.#unlock = unlock;
    this.#checkpointer = new Checkpointer(settings.checkpoints, key, log);
  }

  /**
   * Continues where the log ended. Rejects with `FILE_ERROR` if a file is missing or the log was
   * changed, `FOLDER_LOCKED` if another server writes it; with `closed`, also if it cannot be
   * written.
   */
  static async open(settings: AuditSettings, log: Logger): Promise<AuditLog> {
    const key = await readAuditKey(settings.keyFile);
    const unlock = await lockLog(settings.keyFile, settings.path);
    try {
      const { file, state } = await StateFile.open(stateFileOf(settings.keyFile));
      let audit: AuditLog;
      let recovered: Recovered;
      try {
        recovered = await recover(settings.path, state);
        const { path, bytesMax } = settings;
        const writer = await LogWriter.open(path, bytesMax, file, recovered.state);
        audit = new AuditLog(settings, key, log, writer, recovered, unlock);
      } catch (thrown) {
        await file.close();
        throw thrown;
      }
      await audit.#begin();
      return audit;
    } catch (thrown) {
      await unlock();
      throw thrown;
    }
  }

  /**
   * Runs an operation and records it. With `closed`, it is not begun while lines cannot be written
   * (`UNAVAILABLE`), and its outcome is returned once the line is on disk; if that fails, it
   * rejects with `UNKNOWN_OUTCOME`, and the line is written as soon as possible.
   */
  async around<T>(asked: Asked, work: () => Promise<T>): Promise<T> {
    if (this.#settings.failure === 'closed' && this.#failure !== undefined) throw refused();
    let result: T;
    try {
      result = await work();
    } catch (thrown) {
      await this.#note(asked, toEncServerError(thrown).code);
      throw thrown;
    }
    await this.#note(asked, 'ok');
    return result;
  }

  /** Records something without anyone waiting for its line. */
  tell(asked: Asked, outcome: string): void {
    this.#push(operationLine(asked, outcome, this.#key.nameKey), undefined);
  }

  get facts(): AuditFacts {
    return {
      failure: this.#settings.failure,
      failing: this.#failure !== undefined,
      lines: this.#lines,
      lostLines: this.#lost,
      checkpointsFailed: this.#checkpointer.failed,
    };
  }

  families(): Family[] {
    return auditFamilies(this.facts);
  }

  /** Writes the waiting lines and a last one, and signs the end. Never rejects. */
  async close(): Promise<void> {
    clearTimeout(this.#retry);
    this.#push(ownLine('audit-close', {}), undefined);
    this.#isClosed = true;
    this.#flushing ??= this.#flush();
    await this.#flushing;
    clearTimeout(this.#retry);
    const unwritten = this.#waiting.length;
    if (unwritten > 0) this.#log.error({ lines: unwritten }, 'lines of the audit log are lost');
    await this.#checkpointer.close();
    await this.#writer.close().catch((err) => this.#log.error({ err }, 'the audit log failed'));
    await this.#unlock();
  }

  async #begin(): Promise<void> {
    const torn = this.#end?.torn;
    if (torn !== undefined) {
      this.#log.warn({ bytes: torn.bytes }, 'the audit log ended in a torn line; it is marked');
    }
    const { log } = this.#key;
    this.#push(ownLine('audit-open', { log, failure: this.#settings.failure }), undefined);
    await this.#flushing;
    if (this.#failure === undefined || this.#settings.failure === 'open') return;
    clearTimeout(this.#retry);
    await this.#checkpointer.close();
    await this.#writer.close();
    throw this.#failure;
  }

  /** Resolves when the line is on disk, or, with `open`, at once. */
  async #note(asked: Asked, outcome: string): Promise<void> {
    const fields = operationLine(asked, outcome, this.#key.nameKey);
    if (this.#settings.failure === 'open') {
      this.#push(fields, undefined);
      return;
    }
    if (this.#failure !== undefined) {
      this.#push(fields, undefined);
      throw unproven();
    }
    await new Promise<void>((resolve, reject) => {
      this.#push(fields, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  #push(fields: object, settle: Entry['settle']): void {
    const isTooMuch = settle === undefined && this.#waiting.length >= WAITING_LINES_MAX;
    if (isTooMuch || this.#isClosed) {
      this.#lose(1);
      settle?.(unproven());
      return;
    }
    this.#waiting.push({ fields, settle });
    // While it fails with `closed`, the timer retries.
    if (this.#failure !== undefined && this.#settings.failure === 'closed') return;
    this.#flushing ??= this.#flush();
  }

  /** Never rejects. */
  async #flush(): Promise<void> {
    // Everything from one turn of the event loop is written together.
    await turn();
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, GROUP_LINES_MAX);
      try {
        await this.#write(group);
      } catch (thrown) {
        this.#failed(group, thrown);
        break;
      }
      this.#recovered();
      for (const { settle } of group) settle?.();
    }
    this.#flushing = undefined;
  }

  async #write(group: readonly Entry[]): Promise<void> {
    const lost = this.#lostUntold;
    let chain: ChainState = this.#writer.chain;
    let lines = this.#end?.prefix ?? '';
    const add = (fields: object) => {
      const sealed = sealLine(chain, fields);
      lines += sealed.line;
      chain = sealed.state;
    };
    const torn: Torn | undefined = this.#end?.torn;
    if (torn !== undefined) add(ownLine('audit-recover', { torn }));
    for (const { fields } of group) add(fields);
    if (lost > 0) add(ownLine('audit-lost', { lost }));
    const before = this.#writer.chain.count;
    await this.#writer.write(lines, chain, torn !== undefined);
    this.#end = undefined;
    this.#lostUntold -= lost;
    this.#lines += chain.count - before;
    this.#checkpointer.reached(chain);
  }

  /** With `closed`, the lines wait for the disk, but their callers no longer do. */
  #failed(group: readonly Entry[], thrown: unknown): void {
    if (this.#failure === undefined) this.#log.error({ err: thrown }, 'no audit lines are written');
    this.#failure = new EncServerError('UNAVAILABLE', 'the audit log cannot be written', {
      hint: FULL_HINT,
      cause: thrown,
    });
    for (const { settle } of [...group, ...this.#waiting]) settle?.(unproven());
    if (this.#settings.failure === 'open') {
      this.#lose(group.length + this.#waiting.length);
      this.#waiting = [];
      return;
    }
    this.#waiting = [...group, ...this.#waiting].map(({ fields }) => ({
      fields,
      settle: undefined,
    }));
    this.#retry = setTimeout(() => {
      this.#flushing ??= this.#flush();
    }, RETRY_MS);
    this.#retry.unref();
  }

  #recovered(): void {
    if (this.#failure !== undefined) this.#log.info('audit lines are written again');
    this.#failure = undefined;
  }

  #lose(lines: number): void {
    this.#lost += lines;
    this.#lostUntold += lines;
  }
}

const FULL_HINT = 'its disk may be full: see the log of the server; auditFailure says what follows';

/** The operation was not begun. */
function refused(): EncServerError {
  return new EncServerError('UNAVAILABLE', 'the audit log cannot be written', { hint: FULL_HINT });
}

/** The operation may have been done, but its result must not be told before its line is on disk. */
function unproven(): EncServerError {
  const words = 'the audit log could not take the line of this operation';
  return new EncServerError('UNKNOWN_OUTCOME', words, { hint: FULL_HINT });
}
