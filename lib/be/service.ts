/**
 * What the back end does, in any dialect: it stores sealed values and decides who may ask for them.
 * It holds no key and can read nothing.
 */
import { EncServerError } from '../errors.ts';
import type { Budget } from '../net/budget.ts';
import type { RequestContext } from '../net/request.ts';
import type { Limits } from '../protocol/limits.ts';
import { SCAN_LIMIT_MAX } from '../store/keys.ts';
import { bindKeyring, type KeyringMark, readKeyring } from '../store/meta.ts';
import type { OpenedStore } from '../store/open.ts';
import {
  ALWAYS,
  type Condition,
  type PutResult,
  RECORD_KEY_BYTES,
  type ScanPage,
  type Store,
  type StoredHead,
  type StoredValue,
  TABLE,
  type Value,
} from '../store/store.ts';
import { EpochFence } from './epoch-fence.ts';
import { notFound, readWithRoom } from './read-with-room.ts';
import { cutPage } from './scan-items.ts';
import { Snapshots } from './snapshots.ts';
import { tokenKey } from './token-key.ts';

const NO_BYTES = Buffer.alloc(0);
const U32_MAX = 0xffff_ffff;

/** What one connection said in its HELLO. */
export interface BeSession {
  /** Epoch of the keyring it works with; undefined until its HELLO named one. */
  epoch: number | undefined;
}

/** The answer to a HELLO. */
export interface Welcome {
  readonly storeId: Buffer;
  readonly keyring: KeyringMark | undefined;
}

/** A store that knows which one it was when it was opened. */
export type IdentifiedStore = Store & Pick<OpenedStore, 'confirmId'>;

export class BeService {
  readonly #store: IdentifiedStore;
  readonly #budget: Budget;
  readonly #limits: Limits;
  readonly #fence = new EpochFence();
  /** For backups. */
  readonly snapshots: Snapshots;
  /** Connections of front ends. */
  readonly #sessions = new Set<BeSession>();

  constructor(
    store: IdentifiedStore,
    budget: Budget,
    limits: Limits,
    snapshots = new Snapshots(store, budget),
  ) {
    this.#store = store;
    this.#budget = budget;
    this.#limits = limits;
    this.snapshots = snapshots;
  }

  /**
   * Binds a connection to its keyring. Rejects with `KEYRING_MISMATCH` if the store was filled
   * under another one, `STALE_EPOCH` if the store knows a newer state of it.
   */
  async hello(
    session: BeSession,
    mark: KeyringMark | undefined,
    { caller }: RequestContext,
  ): Promise<Welcome> {
    caller.require('frontend');
    // A database that was dropped meanwhile, or replaced, is not one to begin anew in.
    const storeId = await this.#store.confirmId();
    if (mark === undefined) {
      return { storeId, keyring: await readKeyring(this.#store) };
    }
    const { epoch } = await bindKeyring(this.#store, mark.keyringId, mark.epoch);
    await this.#fence.raise(epoch);
    session.epoch = mark.epoch;
    this.#sessions.add(session);
    return { storeId, keyring: { keyringId: mark.keyringId, epoch } };
  }

  /** Forgets a connection that is gone. */
  goodbye(session: BeSession): void {
    this.#sessions.delete(session);
  }

  put(
    session: BeSession,
    key: Buffer,
    value: Value,
    condition: Condition,
    context: RequestContext,
  ): Promise<PutResult> {
    return this.#write(session, key, context, () => {
      // What a front end has sealed may be a little longer than the record limit.
      if (key[0] === TABLE.FOREIGN) this.#checkRecord(value.body);
      return this.#store.put(key, value, condition);
    });
  }

  /** Rejects with `NOT_FOUND`, or `LARGE` if the body is above `acceptBytes`. */
  get(
    session: BeSession,
    key: Buffer,
    acceptBytes: number,
    context: RequestContext,
  ): Promise<StoredValue> {
    return this.#look(session, key, context, () =>
      readWithRoom(this.#store, key, acceptBytes, this.#budget, context),
    );
  }

  head(session: BeSession, key: Buffer, context: RequestContext): Promise<StoredHead> {
    return this.#look(session, key, context, async () => {
      const found = await this.#store.head(key);
      if (found === undefined) throw notFound();
      return found;
    });
  }

  /** Resolves to whether there was something. */
  remove(
    session: BeSession,
    key: Buffer,
    condition: Condition,
    context: RequestContext,
  ): Promise<boolean> {
    return this.#write(session, key, context, () => this.#store.delete(key, condition));
  }

  /** To those without a keyring, records are shown only where there are none. */
  async scan(
    session: BeSession,
    prefix: Buffer,
    after: Buffer | undefined,
    limit: number,
    { caller }: RequestContext,
  ): Promise<ScanPage> {
    caller.require('frontend');
    const isRecords = prefix[0] === TABLE.RECORDS;
    if (isRecords && session.epoch === undefined) {
      const { items } = await this.#store.scan(Buffer.of(TABLE.RECORDS), undefined, 1);
      if (items.length === 0) return { items, more: false };
    }
    if (isRecords) this.#checkEpoch(session);
    else if (prefix[0] !== TABLE.FOREIGN) throw invalidKey();
    const itemsMax = Math.max(1, Math.min(limit, SCAN_LIMIT_MAX));
    const page = cutPage(await this.#store.scan(prefix, after, itemsMax));
    if (isRecords) this.#checkEpoch(session);
    return page;
  }

  /** Stores a foreign front end's token and record as they came. */
  async storeForeign(
    token: Buffer,
    record: Buffer,
    { caller }: RequestContext,
  ): Promise<PutResult> {
    caller.require('frontend');
    this.#checkRecord(record);
    const value = { head: NO_BYTES, body: record, expiryMs: 0 };
    return await this.#store.put(tokenKey(token), value, ALWAYS);
  }

  /** @throws EncServerError `RECORD_TOO_LARGE` */
  #checkRecord(record: Buffer): void {
    const { recordBytesMax } = this.#limits;
    if (record.length <= recordBytesMax) return;
    const words = `a record of ${record.length} bytes; at most ${recordBytesMax} are taken`;
    throw new EncServerError('RECORD_TOO_LARGE', words);
  }

  async retrieveForeign(token: Buffer, context: RequestContext): Promise<Buffer> {
    context.caller.require('frontend');
    const found = await readWithRoom(this.#store, tokenKey(token), U32_MAX, this.#budget, context);
    return found.body ?? NO_BYTES;
  }

  async deleteForeign(token: Buffer, { caller }: RequestContext): Promise<boolean> {
    caller.require('frontend');
    return await this.#store.delete(tokenKey(token));
  }

  /** Newest epoch of the keyring that was seen; 0 if none was. */
  get epoch(): number {
    return this.#fence.epoch;
  }

  /** Facts for people and tools; nothing of what is stored. */
  async info({ caller }: RequestContext): Promise<Record<string, unknown>> {
    caller.require('frontend');
    const health = this.#store.health();
    const store = health.ok ? await this.#store.stats() : undefined;
    const keyring = health.ok ? await readKeyring(this.#store) : undefined;
    return {
      server: 'be',
      ok: health.ok,
      ...(health.ok ? {} : { reason: health.reason }),
      store,
      keyring: keyring?.keyringId.toString('hex'),
      epoch: keyring?.epoch,
      frontEnds: this.#connectionsByEpoch(),
    };
  }

  /** How many front-end connections use which epoch, the lowest first. */
  #connectionsByEpoch(): { readonly epoch: number; readonly connections: number }[] {
    const counts = new Map<number, number>();
    for (const { epoch = 0 } of this.#sessions) counts.set(epoch, (counts.get(epoch) ?? 0) + 1);
    return [...counts]
      .map(([epoch, connections]) => ({ epoch, connections }))
      .sort((a, b) => a.epoch - b.epoch);
  }

  /** Why it cannot do its work, for probes; undefined if it can. */
  unreadyReason(): string | undefined {
    const { ok, reason } = this.#store.health();
    return ok ? undefined : `store: ${reason}`;
  }

  async #write<T>(
    session: BeSession,
    key: Buffer,
    { caller }: RequestContext,
    write: () => Promise<T>,
  ): Promise<T> {
    caller.require('frontend');
    this.#checkAccess(session, key);
    this.#fence.enter();
    try {
      return await write();
    } finally {
      this.#fence.leave();
    }
  }

  /** A result read while the epoch changed may be outdated, so it is not returned. */
  async #look<T>(
    session: BeSession,
    key: Buffer,
    { caller }: RequestContext,
    look: () => Promise<T>,
  ): Promise<T> {
    caller.require('frontend');
    this.#checkAccess(session, key);
    try {
      return await look();
    } finally {
      this.#checkAccess(session, key);
    }
  }

  #checkAccess(session: BeSession, key: Buffer): void {
    if (key[0] === TABLE.RECORDS && key.length === RECORD_KEY_BYTES) this.#checkEpoch(session);
    else if (key[0] !== TABLE.FOREIGN || key.length < 2) throw invalidKey();
  }

  /**
   * A front end that does not know the newest keyring may look, or worse, write, in the wrong
   * place.
   */
  #checkEpoch(session: BeSession): void {
    if (session.epoch === undefined) {
      const hint = 'begin the connection with HELLO and the keyring';
      throw new EncServerError('NOT_ALLOWED', 'records are for front ends', { hint });
    }
    this.#fence.check(session.epoch);
  }
}

function invalidKey(): EncServerError {
  const hint = `records have ${RECORD_KEY_BYTES} bytes and begin with 01; foreign tokens begin with 02`;
  return new EncServerError('INVALID_FIELD', 'no such store key', { hint });
}
