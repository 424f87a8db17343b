/**
 * What one state of the keyring means for records: under which entry they are written, where else
 * they may lie, and which entry wraps the keys that are kept.
 */
import { decodeHeader, type RecordName } from '../crypto/envelope.ts';
import type { EntryState, Keyring, KeyringEntry } from '../crypto/keyring.ts';
import { Pseudonymizer } from '../crypto/pseudonym.ts';
import { rewrapHeader, unwrapKey, type WrapSecret } from '../crypto/wrap.ts';
import { codeOf, EncServerError } from '../errors.ts';

/** Many times the duration of a sweep after an entry was retired, in milliseconds. */
const SWEEP_MS_MAX = 600_000;

export class Ring {
  readonly keyring: Keyring;
  /** Where records are written, and looked for first. */
  readonly active: Pseudonymizer;
  /** Where earlier records may still lie, while there is an old entry. */
  readonly old: Pseudonymizer | undefined;
  /** The entry that keys are wrapped under. */
  readonly wrapEntry: WrapSecret;
  /** Until then, graves may lie where records do, in milliseconds since 1970. */
  readonly #gravesUntilMs: number;

  /** @throws EncServerError `KEYRING_DAMAGED` if no entry is active */
  constructor(keyring: Keyring) {
    this.keyring = keyring;
    const active = entryOf(keyring.entries, 'active');
    const wrapEntry = entryOf(keyring.wrapEntries, 'active');
    if (active === undefined || wrapEntry === undefined) {
      throw new EncServerError('KEYRING_DAMAGED', 'no entry of the keyring is active');
    }
    const old = entryOf(keyring.entries, 'old');
    this.active = new Pseudonymizer(active.secret, active.number);
    this.old = old && new Pseudonymizer(old.secret, old.number);
    this.wrapEntry = wrapEntry;
    const isRotated = entryOf(keyring.entries, 'retired') !== undefined;
    this.#gravesUntilMs = isRotated ? Date.now() + SWEEP_MS_MAX : 0;
  }

  /** Whether a taken place may be a grave. */
  get mayMeetGraves(): boolean {
    return this.old !== undefined || Date.now() < this.#gravesUntilMs;
  }

  get epoch(): number {
    return this.keyring.epoch;
  }

  /** The record key that a header keeps. Throws `ALTERED` if no entry of the keyring wrapped it. */
  unwrap(header: Buffer, name: RecordName): Buffer {
    return unwrapKey(header, name, this.#wrapperOf(header));
  }

  /** The header, with its key wrapped under the active entry if it keeps one. Throws `ALTERED`. */
  rewrap(header: Buffer, name: RecordName): Buffer {
    const { wrapKeyNumber } = decodeHeader(header);
    if (wrapKeyNumber === undefined || wrapKeyNumber === this.wrapEntry.number) return header;
    return rewrapHeader(header, name, this.#wrapperOf(header), this.wrapEntry);
  }

  /**
   * As {@link rewrap}, for a record that is moved: a kept key that nothing unwraps stays as it is,
   * so that one damaged record does not keep the rotation from ending. Its secret stays in the
   * keyring, so nothing is lost by it. Throws `ALTERED` for any other damage.
   */
  rewrapIfWhole(header: Buffer, name: RecordName): Buffer {
    decodeHeader(header);
    try {
      return this.rewrap(header, name);
    } catch (error) {
      // The header itself is whole, so it is the key.
      if (codeOf(error) !== 'ALTERED') throw error;
      return header;
    }
  }

  /** Whether a header keeps no key, or one that can be unwrapped. Throws `ALTERED` as above. */
  keepsWholeKey(header: Buffer, name: RecordName): boolean {
    if (decodeHeader(header).wrapKeyNumber === undefined) return true;
    try {
      this.unwrap(header, name).fill(0);
      return true;
    } catch (error) {
      if (codeOf(error) !== 'ALTERED') throw error;
      return false;
    }
  }

  #wrapperOf(header: Buffer): WrapSecret {
    const { wrapKeyNumber } = decodeHeader(header);
    const entry = this.keyring.wrapEntries.find(({ number }) => number === wrapKeyNumber);
    if (entry !== undefined) return entry;
    throw new EncServerError('ALTERED', 'the record has no key that this keyring keeps');
  }
}

function entryOf(entries: readonly KeyringEntry[], state: EntryState): KeyringEntry | undefined {
  return entries.find((entry) => entry.state === state);
}
