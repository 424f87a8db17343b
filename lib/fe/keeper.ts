/**
 * Keeps the keyring of a front end: reads it, makes it on the very first start, follows changes of
 * its file, and knows whether it belongs to the store behind the back end.
 */
import { stat } from 'node:fs/promises';
import type { KeyringFacts } from '../be/client.ts';
import { createKeyring, type Keyring, type KeyringMeans, loadKeyring } from '../crypto/keyring.ts';
import { codeOf, EncServerError, toEncServerError } from '../errors.ts';
import { Ring } from './ring.ts';

/** How often to check whether the file has changed, in milliseconds. */
const LOOK_INTERVAL_MS = 500;

export interface Following {
  /** Tells the back end of a newer epoch; resolves once nothing older is executed any more. */
  readonly announce: (keyring: KeyringFacts) => Promise<void>;
  /** Told the outcome of a changed file. */
  readonly log: (level: 'info' | 'warn', message: string, facts: object) => void;
}

export class KeyringKeeper {
  readonly path: string;
  /** Resolves once this process has made the keyring file, if it ever does. */
  readonly making: Promise<void>;
  #tellMade: () => void = () => undefined;
  readonly #means: KeyringMeans;
  /** Ends a question to the key service, which would keep the process. */
  readonly #closing = new AbortController();
  readonly #askStore: () => Promise<KeyringFacts | undefined>;
  /** The newest keyring that was read; used once the back end has been told of it. */
  #newest: Keyring | undefined;
  #ring: Ring | undefined;
  #made = false;
  #opening: Promise<Keyring> | undefined;
  #renewing: Promise<boolean> | undefined;
  #following: Following | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Distinguishes versions of the file. */
  #seenMark = '';
  /** The last complaint about the file, which is logged only once. */
  #complaint = '';
  /** Why there is no keyring, if opening it was tried. */
  #error: EncServerError | undefined;

  /**
   * `askStore` resolves to the keyring that the store was filled under, and rejects if it cannot.
   * `means` open the file if its secrets are sealed.
   */
  constructor(
    path: string,
    askStore: () => Promise<KeyringFacts | undefined>,
    means: KeyringMeans = {},
  ) {
    this.path = path;
    this.making = new Promise((resolve) => {
      this.#tellMade = resolve;
    });
    this.#askStore = askStore;
    const { transit } = means;
    const { signal } = this.#closing;
    this.#means = transit === undefined ? means : { ...means, transit: { ...transit, signal } };
  }

  /** Whether this process made the keyring file. */
  get made(): boolean {
    return this.#made;
  }

  /** The keyring in use. */
  get keyring(): Keyring | undefined {
    return this.#ring?.keyring;
  }

  /** Throws why there is no keyring yet. */
  get ring(): Ring {
    if (this.#ring !== undefined) return this.#ring;
    const { code, message, hint } = this.lack;
    throw new EncServerError(code, message, { hint });
  }

  /** Why there is no keyring, while there is none. */
  get lack(): EncServerError {
    return this.#error ?? new EncServerError('UNAVAILABLE', 'the keyring is not open yet');
  }

  /**
   * The newest keyring, read from its file or made. Rejects with `KEYRING_MISSING` when the store
   * was filled under a keyring that is not here, `UNAVAILABLE` when the store cannot be asked about
   * that, or the key service is away, `KEYRING_UNSAFE`, `KEYRING_DAMAGED` and `KEYRING_LOCKED` for
   * the file.
   */
  async open(): Promise<Keyring> {
    if (this.#newest !== undefined) return this.#newest;
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

  /** From now on a newer state in the file is adopted, until {@link close}. */
  follow(following: Following): void {
    this.#following = following;
    this.#timer = setInterval(() => void this.#look(), LOOK_INTERVAL_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#closing.abort();
  }

  /**
   * Reads the file again and adopts it if it is newer. Resolves to whether it was; an error is
   * logged, and the keyring stays as it is.
   */
  renew(): Promise<boolean> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  async #renew(): Promise<boolean> {
    if (this.#ring === undefined || this.#following === undefined) return false;
    const { announce, log } = this.#following;
    try {
      await this.#readNewer(this.#ring.keyring);
      const newest = this.#newest;
      if (newest === undefined || newest.epoch <= this.#ring.epoch) return false;
      const ring = new Ring(newest);
      await announce(newest);
      this.#ring = ring;
      this.#complaint = '';
      log('info', 'a newer keyring is used', { epoch: ring.epoch });
      return true;
    } catch (thrown) {
      const { code, message } = toEncServerError(thrown);
      if (message !== this.#complaint) {
        log('warn', 'the keyring file changed and is not used', { code, reason: message });
      }
      this.#complaint = message;
      return false;
    }
  }

  /** Throws what is wrong with the file. */
  async #readNewer(known: Keyring): Promise<void> {
    const read = await loadKeyring(this.path, this.#means);
    if (read === undefined) throw new EncServerError('KEYRING_MISSING', 'the file is gone');
    if (!read.keyringId.equals(known.keyringId)) {
      throw new EncServerError('KEYRING_MISMATCH', 'the file is another keyring');
    }
    if (read.epoch < known.epoch) {
      const words = `the file has epoch ${read.epoch}, and ${known.epoch} is in use`;
      throw new EncServerError('STALE_EPOCH', words);
    }
    if (read.epoch > (this.#newest?.epoch ?? 0)) this.#newest = read;
  }

  async #look(): Promise<void> {
    const mark = await markOf(this.path);
    const isBehind = this.#newest !== undefined && this.#newest !== this.#ring?.keyring;
    if (mark === this.#seenMark && !isBehind) return;
    this.#seenMark = mark;
    await this.renew();
  }

  async #loadOrMake(): Promise<Keyring> {
    this.#seenMark = await markOf(this.path);
    const keyring = (await loadKeyring(this.path, this.#means)) ?? (await this.#make());
    this.#ring = new Ring(keyring);
    this.#newest = keyring;
    if (this.#made) this.#tellMade();
    return keyring;
  }

  /**
   * A second keyring for a filled store would make its records unreachable, so the store is asked
   * first.
   */
  async #make(): Promise<Keyring> {
    if ((await this.#askStore().catch(explainAway)) !== undefined) {
      const words = `${this.path} is missing, and the store was filled under a keyring`;
      throw new EncServerError('KEYRING_MISSING', words);
    }
    try {
      const keyring = await createKeyring(this.path, this.#means);
      this.#made = true;
      return keyring;
    } catch (thrown) {
      // Another front end made one first, and that one counts.
      const theirs =
        codeOf(thrown) === 'CONFLICT' ? await loadKeyring(this.path, this.#means) : undefined;
      if (theirs === undefined) throw thrown;
      return theirs;
    }
  }
}

function explainAway(cause: EncServerError): never {
  if (cause.code !== 'UNAVAILABLE') throw cause;
  const words = `the back end cannot be asked whether it has a keyring: ${cause.message}`;
  const hint = 'start the back end; the keyring is made once it can be asked';
  throw new EncServerError('UNAVAILABLE', words, { hint, cause });
}

/** Empty if there is no file. */
async function markOf(path: string): Promise<string> {
  try {
    const { mtimeMs, ino, size } = await stat(path);
    return `${mtimeMs} ${ino} ${size}`;
  } catch {
    return '';
  }
}
