/**
 * Keeps the keyring of a front end: reads it, makes it on the very first start, and knows
 * whether it belongs to the store behind the back end.
 */

import type { KeyringFacts } from '../be/client.ts';
import { decodeHeader, type RecordName } from '../crypto/envelope.ts';
import { createKeyring, type Keyring, loadKeyring } from '../crypto/keyring.ts';
import { Pseudonymizer } from '../crypto/pseudonym.ts';
import { unwrapKey, type WrapSecret } from '../crypto/wrap.ts';
import { EncServerError, toEncServerError } from '../errors.ts';

export class KeyringKeeper {
  readonly path: string;
  readonly #askStore: () => Promise<KeyringFacts | undefined>;
  #keyring: Keyring | undefined;
  #pseudonymizer: Pseudonymizer | undefined;
  #made = false;
  #opening: Promise<Keyring> | undefined;
  /** Why there is no keyring, where it was tried. */
  #error: EncServerError | undefined;

  /** `askStore` tells the keyring that the store was filled under, and rejects if it cannot. */
  constructor(path: string, askStore: () => Promise<KeyringFacts | undefined>) {
    this.path = path;
    this.#askStore = askStore;
  }

  /** Whether this process made the keyring file. */
  get made(): boolean {
    return this.#made;
  }

  get keyring(): Keyring | undefined {
    return this.#keyring;
  }

  /**
   * The keyring, read from its file or made. Rejects with `KEYRING_MISSING` when the store was
   * filled under a keyring that is not here, `UNAVAILABLE` when the store cannot be asked about
   * that, `KEYRING_UNSAFE` and `KEYRING_DAMAGED` for the file.
   */
  async open(): Promise<Keyring> {
    if (this.#keyring !== undefined) return this.#keyring;
    this.#opening ??= this.#loadOrMake();
    try {
      return await this.#opening;
    } catch (thrown) {
      this.#error = toEncServerError(thrown);
      throw this.#error;
    } finally {
      this.#opening = undefined;
    }
  }

  /** The active entry's pseudonyms. Throws `UNAVAILABLE`, or why there is no keyring yet. */
  get pseudonymizer(): Pseudonymizer {
    if (this.#pseudonymizer !== undefined) return this.#pseudonymizer;
    const { code, message, hint: mend } = this.#error ?? {};
    if (code !== undefined && code !== 'UNAVAILABLE') {
      throw new EncServerError(code, message ?? '', mend === undefined ? {} : { hint: mend });
    }
    const hint = 'start the back end; the keyring is made once it can be asked';
    throw new EncServerError('UNAVAILABLE', 'there is no keyring yet', { hint });
  }

  /** The entry that keys are wrapped under now. */
  wrapEntry(): WrapSecret {
    const entry = this.#keyring?.wrapEntries.find(({ state }) => state === 'active');
    if (entry !== undefined) return entry;
    throw new EncServerError('UNAVAILABLE', 'there is no keyring yet');
  }

  /** The record key that a header keeps. Throws `ALTERED` if no entry of the keyring wrapped it. */
  unwrap(header: Buffer, name: RecordName): Buffer {
    const { wrapKeyNumber } = decodeHeader(header);
    const entry = this.#keyring?.wrapEntries.find(({ number }) => number === wrapKeyNumber);
    if (entry !== undefined) return unwrapKey(header, name, entry);
    throw new EncServerError('ALTERED', 'the record has no key that this keyring keeps');
  }

  async #loadOrMake(): Promise<Keyring> {
    const keyring = (await loadKeyring(this.path)) ?? (await this.#make());
    const active = keyring.entries.find((entry) => entry.state === 'active');
    if (active === undefined) {
      throw new EncServerError('KEYRING_DAMAGED', `no entry of ${this.path} is active`);
    }
    this.#pseudonymizer = new Pseudonymizer(active.secret, active.number);
    this.#keyring = keyring;
    return keyring;
  }

  /** A second keyring for a filled store would hide its records, so the store is asked first. */
  async #make(): Promise<Keyring> {
    if ((await this.#askStore()) !== undefined) {
      const words = `${this.path} is missing, and the store was filled under a keyring`;
      throw new EncServerError('KEYRING_MISSING', words);
    }
    try {
      const keyring = await createKeyring(this.path);
      this.#made = true;
      return keyring;
    } catch (thrown) {
      // Another front end was faster: its keyring is the one.
      const theirs = codeOf(thrown) === 'CONFLICT' ? await loadKeyring(this.path) : undefined;
      if (theirs === undefined) throw thrown;
      return theirs;
    }
  }
}

function codeOf(thrown: unknown): string | undefined {
  return thrown instanceof EncServerError ? thrown.code : undefined;
}
