/**
 * Moves the family's servers' records to our pseudonyms: first everything is read, and only if all
 * of it can be read is anything written. Documents are stored only where nothing is, so that
 * repeating it does no harm.
 */
import type { BeClient } from '../be/client.ts';
import { decodeHeader, ENVELOPE_FLAG, proveKey, type RecordName } from '../crypto/envelope.ts';
import { decodeHead, isGrave } from '../crypto/head.ts';
import { withLegacy } from '../crypto/keyring-states.ts';
import { EncServerError, toEncServerError } from '../errors.ts';
import { withFileLock } from '../secret-file.ts';
import type { FamilyEntry, FamilyRecord, FamilyRecords } from './family-records.ts';
import { FirstDocuments } from './first-documents.ts';
import { BODY_BYTES_MAX, KeyringJob, RECORD_TIMEOUT_MS, type Told } from './keyring-job.ts';
import { isLegacyHeader } from './legacy.ts';
import { orConflict, scanAll } from './lookup.ts';
import { type Counts, readState, statePathOf, writeState } from './migration-state.ts';
import type { FoundRecord, Placement } from './placement.ts';
import { Ring } from './ring.ts';
import { IF_ABSENT } from './write-condition.ts';

/** Where documents come from. */
export interface EntrySource {
  readonly place: string;
  count(): Promise<number>;
  documents(position?: string): AsyncGenerator<FamilyEntry>;
}

/** A document with a problem. */
export interface EntryProblem {
  readonly position: string;
  readonly code: string;
}

/** What was found by reading; nothing was written. */
export interface Survey {
  readonly documents: number;
  readonly go: number;
  readonly python: number;
  readonly unreadable: number;
  /** Those that differ from an earlier document with the same name. */
  readonly conflicts: number;
  /** Some of the unreadable ones. */
  readonly problems: readonly EntryProblem[];
  /** Some of the conflicts. */
  readonly duplicates: readonly EntryProblem[];
}

export interface Migrated {
  readonly counts: Counts;
  /** Some of those whose name is taken by something else. */
  readonly conflicts: readonly EntryProblem[];
}

const BATCH_ENTRIES = 200;
/** In hexadecimal digits, so that a few large records do not fill the memory. */
const BATCH_DIGITS = 32 * 1024 * 1024;
const PROBLEMS_MAX = 20;

export class Migration extends KeyringJob {
  /** Reads every document, and shows it to `firsts`. Rejects with `UNAVAILABLE`. */
  async survey(
    source: EntrySource,
    records: FamilyRecords,
    told: Told,
    firsts = new FirstDocuments(),
  ): Promise<Survey> {
    const found = { documents: 0, go: 0, python: 0, unreadable: 0, conflicts: 0 };
    const problems: EntryProblem[] = [];
    const duplicates: EntryProblem[] = [];
    const all = await source.count();
    for await (const entry of source.documents()) {
      found.documents++;
      try {
        const { kind, name } = records.read(entry);
        found[kind]++;
        if (!firsts.isFirst(name, entry)) {
          found.conflicts++;
          note(duplicates, entry, 'CONFLICT');
        }
      } catch (thrown) {
        found.unreadable++;
        note(problems, entry, toEncServerError(thrown).code);
      }
      told(found.documents, Math.max(all, found.documents));
    }
    return { ...found, problems, duplicates };
  }

  /**
   * Reads everything, then stores it. Rejects with `WRONG_KEY` before anything is written if a
   * document cannot be read, unless such documents are to be skipped; with `CONFLICT` while another
   * migration runs, if this one is done, or if fewer documents were moved than read; with `UNAVAILABLE`, `KEYRING_MISSING`.
   */
  async run(
    source: EntrySource,
    records: FamilyRecords,
    skips: boolean,
    told: Told,
  ): Promise<Migrated> {
    const path = statePathOf(this.options.path);
    return await withFileLock(path, async () => {
      const { isDone } = await readState(path, source.place);
      if (isDone) throw alreadyDone(source, path);
      const firsts = new FirstDocuments();
      const survey = await this.survey(source, records, () => undefined, firsts);
      if (survey.unreadable > 0 && !skips) throw unreadable(survey);
      await this.#openLegacy();
      return await this.withPlacement((placement) =>
        this.#moveAll(source, records, firsts, survey.documents, placement, told),
      );
    });
  }

  /**
   * Ends the migration: records that still lie as the family sealed them are no longer opened.
   * Rejects with `CONFLICT` while there are any, unless they are to be left. Resolves to how many
   * there are.
   */
  async finish(leaves: boolean): Promise<number> {
    const keyring = await this.read();
    const left = await this.withBe(keyring, (be) => countLegacy(be, new Ring(keyring)));
    if (left > 0 && !leaves) {
      const hint = 'their callers open them with their old keys until then; or add --leave';
      const words = `${left} records lie as the family's servers sealed them`;
      throw new EncServerError('CONFLICT', words, { hint });
    }
    if (keyring.legacy !== true) return left;
    const closed = await this.update((found) => withLegacy(found, false));
    await this.withBe(closed, (be) => be.greet(closed));
    return left;
  }

  async #moveAll(
    source: EntrySource,
    records: FamilyRecords,
    firsts: FirstDocuments,
    all: number,
    placement: Placement,
    told: Told,
  ): Promise<Migrated> {
    const path = statePathOf(this.options.path);
    let { position, counts } = await readState(path, source.place);
    const conflicts: EntryProblem[] = [];
    let batch: FamilyEntry[] = [];
    let digits = 0;
    const moveBatch = async () => {
      const done = { ...counts };
      const store = async (entry: FamilyEntry) => {
        const outcome = await moveOne(placement, records, firsts, entry);
        done[outcome]++;
        if (outcome === 'conflicts') note(conflicts, entry, 'CONFLICT');
      };
      await Promise.all(batch.map(store));
      counts = done;
      position = batch.at(-1)?.position ?? position;
      batch = [];
      digits = 0;
      await writeState(path, { source: source.place, position, counts, isDone: false });
      told(sumOf(counts), Math.max(all, sumOf(counts)));
    };
    for await (const entry of source.documents(position)) {
      batch.push(entry);
      digits += String(entry.record).length;
      if (batch.length === BATCH_ENTRIES || digits > BATCH_DIGITS) await moveBatch();
    }
    await moveBatch();
    if (sumOf(counts) < all) throw fallsShort(sumOf(counts), all, path);
    await writeState(path, { source: source.place, position, counts, isDone: true });
    return { counts, conflicts };
  }

  async #openLegacy(): Promise<void> {
    const keyring = await this.read();
    // Checks that it is the store's keyring before changing it.
    await this.withBe(keyring, (be) => be.greet(keyring));
    if (keyring.legacy === true) return;
    const opened = await this.update((found) => withLegacy(found, true));
    await this.withBe(opened, (be) => be.greet(opened));
  }
}

async function moveOne(
  placement: Placement,
  records: FamilyRecords,
  firsts: FirstDocuments,
  entry: FamilyEntry,
): Promise<keyof Counts> {
  let found: FamilyRecord;
  try {
    found = records.read(entry);
  } catch {
    // It was reported before that some cannot be read, and accepted.
    return 'skipped';
  }
  const { name, sealed, key } = found;
  // Whatever became of the first one, even if it was deleted since: this one never comes after it.
  if (!firsts.isFirst(name, entry)) return 'conflicts';
  const call = { timeoutMs: RECORD_TIMEOUT_MS };
  const put = await orConflict(placement.put(name, sealed, IF_ABSENT, call));
  if (put !== undefined) return 'moved';
  const there = await placement.get(name, BODY_BYTES_MAX, call);
  if (isLegacyHeader(there.header)) return there.body.equals(sealed.body) ? 'known' : 'conflicts';
  // Sealed anew, when it was moved or on a read with the right key. A Go server's key is not here
  // to be tried, but no other document of the source was moved to that name.
  const { flags } = decodeHeader(there.header);
  const isMoved = (flags & ENVELOPE_FLAG.legacy) !== 0;
  return isMoved && (key === undefined || isProven(there, name, key)) ? 'known' : 'conflicts';
}

function isProven({ header }: FoundRecord, name: RecordName, key: Buffer): boolean {
  try {
    proveKey(header, name, key);
    return true;
  } catch {
    return false;
  }
}

function note(problems: EntryProblem[], { position }: FamilyEntry, code: string): void {
  if (problems.length < PROBLEMS_MAX) problems.push({ position, code });
}

async function countLegacy(be: BeClient, { active, old, epoch }: Ring): Promise<number> {
  let count = 0;
  for (const entry of old === undefined ? [active] : [active, old]) {
    for await (const { head } of scanAll(be, entry.entryPrefix, epoch)) {
      if (!isGrave(head) && isLegacyHeader(decodeHead(head).header)) count++;
    }
  }
  return count;
}

function sumOf({ moved, known, conflicts, skipped }: Counts): number {
  return moved + known + conflicts + skipped;
}

function unreadable({ documents, unreadable: count, problems }: Survey): EncServerError {
  const [first] = problems;
  const words = `${count} of ${documents} documents cannot be read (${first?.code} ${first?.position}); nothing was written`;
  const hint =
    'look at idKeyStr and idNonceStr; records of the Python servers need --keys; --skip passes them over';
  return new EncServerError(first?.code === 'ALTERED' ? 'ALTERED' : 'WRONG_KEY', words, { hint });
}

function fallsShort(count: number, all: number, path: string): EncServerError {
  const hint = `stop who changes them, then repeat it; if that does not help, remove ${path} first`;
  return new EncServerError('CONFLICT', `${all} documents were read, and ${count} moved`, { hint });
}

function alreadyDone({ place }: EntrySource, path: string): EncServerError {
  const hint = `remove ${path} to do it again: what was deleted since would come back`;
  return new EncServerError('CONFLICT', `the migration from ${place} is done`, { hint });
}
