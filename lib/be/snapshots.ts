/**
 * Snapshots that are lent for backups. They cost the store the room of everything that was deleted
 * or replaced since, so they are few, and end by themselves if they are not used.
 */
import { randomBytes } from 'node:crypto';
import { EncServerError } from '../errors.ts';
import type { Budget } from '../net/budget.ts';
import type { RequestContext } from '../net/request.ts';
import { SCAN_LIMIT_MAX } from '../store/keys.ts';
import {
  type ScanPage,
  type Snapshot,
  type Store,
  type StoredValue,
  TABLE,
} from '../store/store.ts';
import { readWithRoom } from './read-with-room.ts';
import { cutPage } from './scan-items.ts';

/** How long a lease lasts after it was last used, in milliseconds. */
const LEASE_MS = 60_000;
const LEASES_MAX = 4;
const ID_BYTES = 8;

interface Lease {
  readonly snapshot: Snapshot;
  readonly timer: NodeJS.Timeout;
}

/** For operators: every method needs the scope `admin`. */
export class Snapshots {
  readonly #store: Pick<Store, 'snapshot'>;
  readonly #budget: Budget;
  readonly #leaseMs: number;
  readonly #leases = new Map<string, Lease>();
  #opening = 0;

  constructor(store: Pick<Store, 'snapshot'>, budget: Budget, leaseMs = LEASE_MS) {
    this.#store = store;
    this.#budget = budget;
    this.#leaseMs = leaseMs;
  }

  /** Resolves to the ID of the lease, 8 bytes. Rejects with `OVERLOADED` if too many are open. */
  async open({ caller }: RequestContext): Promise<Buffer> {
    caller.require('admin');
    if (this.#leases.size + this.#opening >= LEASES_MAX) {
      const hint = 'end another backup, or wait a minute for its snapshot to end';
      throw new EncServerError('OVERLOADED', 'too many snapshots are open', { hint });
    }
    this.#opening++;
    const snapshot = await this.#store.snapshot().finally(() => this.#opening--);
    const id = randomBytes(ID_BYTES);
    const name = id.toString('hex');
    const timer = setTimeout(() => void this.#end(name), this.#leaseMs).unref();
    this.#leases.set(name, { snapshot, timer });
    return id;
  }

  /** One page of keys with a prefix. Rejects with `NOT_FOUND` if the lease has ended. */
  async scan(
    lease: Buffer,
    prefix: Buffer,
    after: Buffer | undefined,
    limit: number,
    { caller }: RequestContext,
  ): Promise<ScanPage> {
    caller.require('admin');
    checkTable(prefix);
    const itemsMax = Math.max(1, Math.min(limit, SCAN_LIMIT_MAX));
    return cutPage(await this.#use(lease).scan(prefix, after, itemsMax));
  }

  /**
   * Rejects with `NOT_FOUND` for what is not in it, and if the lease has ended; with `LARGE` if the
   * body is above `acceptBytes`.
   */
  async get(
    lease: Buffer,
    key: Buffer,
    acceptBytes: number,
    context: RequestContext,
  ): Promise<StoredValue> {
    context.caller.require('admin');
    checkTable(key);
    return await readWithRoom(this.#use(lease), key, acceptBytes, this.#budget, context);
  }

  /** Closing a lease that has ended already is not an error. */
  async close(lease: Buffer, { caller }: RequestContext): Promise<void> {
    caller.require('admin');
    await this.#end(lease.toString('hex'));
  }

  /** Call this before the store is closed. */
  async closeAll(): Promise<void> {
    await Promise.all([...this.#leases.keys()].map((name) => this.#end(name)));
  }

  /** Extends the lease. */
  #use(id: Buffer): Snapshot {
    const lease = this.#leases.get(id.toString('hex'));
    if (lease === undefined) {
      const hint = 'begin the backup again';
      throw new EncServerError('NOT_FOUND', 'the snapshot is over', { hint });
    }
    lease.timer.refresh();
    return lease.snapshot;
  }

  async #end(name: string): Promise<void> {
    const lease = this.#leases.get(name);
    if (lease === undefined) return;
    this.#leases.delete(name);
    clearTimeout(lease.timer);
    await lease.snapshot.close();
  }
}

/** Facts about the store itself are not copied, since each store has its own. */
function checkTable(key: Buffer): void {
  if (key[0] === TABLE.RECORDS || key[0] === TABLE.FOREIGN) return;
  throw new EncServerError('INVALID_FIELD', 'a snapshot has records and foreign tokens');
}
