/** What jobs on a keyring share: its file, and the back end with its records. */
import { BeClient, type BeClientOptions } from '../be/client.ts';
import { type Keyring, type KeyringMeans, loadKeyring, updateKeyring } from '../crypto/keyring.ts';
import { EncServerError } from '../errors.ts';
import { Budget } from '../net/budget.ts';
import { KeyringKeeper } from './keeper.ts';
import { Placement } from './placement.ts';

export interface KeyringJobOptions {
  /** The keyring's file. */
  readonly path: string;
  /** What opens it, if its secrets are sealed. */
  readonly means?: KeyringMeans;
  /** How to call the back end. */
  readonly link: BeClientOptions;
}

/** Reports progress. */
export type Told = (done: number, all: number) => void;

/** How long one record may take, in milliseconds. */
export const RECORD_TIMEOUT_MS = 10_000;
/** Any body that fits into a frame. */
export const BODY_BYTES_MAX = 0xffff_ffff;

export abstract class KeyringJob {
  protected readonly options: KeyringJobOptions;

  constructor(options: KeyringJobOptions) {
    this.options = options;
  }

  /** Rejects with `KEYRING_MISSING`, or an error for what is wrong with the file. */
  async read(): Promise<Keyring> {
    const { path, means } = this.options;
    const keyring = await loadKeyring(path, means);
    if (keyring !== undefined) return keyring;
    throw new EncServerError('KEYRING_MISSING', `there is no keyring ${path}`, {
      hint: 'name it with --keyring; the first start of a front end makes it',
    });
  }

  protected async update(step: (keyring: Keyring) => Keyring): Promise<Keyring> {
    const { path, means } = this.options;
    return await updateKeyring(path, step, means);
  }

  /** Bound to the keyring if one is given. */
  protected async withBe<T>(
    keyring: Keyring | undefined,
    work: (be: BeClient) => Promise<T>,
  ): Promise<T> {
    const greeting = keyring === undefined ? {} : { keyring: async () => keyring };
    const be = new BeClient({ ...this.options.link, ...greeting });
    try {
      return await work(be);
    } finally {
      be.close();
    }
  }

  /** For work on the records, under the keyring as it is in its file. */
  protected async withPlacement<T>(
    work: (placement: Placement, be: BeClient, keyring: Keyring) => Promise<T>,
  ): Promise<T> {
    const { path, means } = this.options;
    const keeper = new KeyringKeeper(path, async () => undefined, means);
    const keyring = await keeper.open();
    return await this.withBe(keyring, async (be) => {
      const placement = new Placement(be, keeper, new Budget(Number.MAX_SAFE_INTEGER));
      return await work(placement, be, keyring);
    });
  }
}
