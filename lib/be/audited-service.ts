/**
 * The back end's service with an audit log: whatever reaches the store, in any dialect. Of a record
 * it knows only the store key, and the log has a keyed hash of that.
 */
import type { AuditLog } from '../audit/audit-log.ts';
import { auditLack } from '../audit/facts.ts';
import { askerOf } from '../net/asker.ts';
import type { Budget } from '../net/budget.ts';
import type { RequestContext } from '../net/request.ts';
import type { Limits } from '../protocol/limits.ts';
import type { KeyringMark } from '../store/meta.ts';
import type {
  Condition,
  PutResult,
  ScanPage,
  Store,
  StoredHead,
  StoredValue,
  Value,
} from '../store/store.ts';
import { BeService, type BeSession, type IdentifiedStore, type Welcome } from './service.ts';
import { Snapshots } from './snapshots.ts';
import { tokenKey } from './token-key.ts';

/**
 * Recording that a snapshot was lent means that everything may have been read: values have no lines
 * of their own.
 */
class AuditedSnapshots extends Snapshots {
  readonly #audit: AuditLog;

  constructor(store: Store, budget: Budget, audit: AuditLog) {
    super(store, budget);
    this.#audit = audit;
  }

  override async open(context: RequestContext): Promise<Buffer> {
    const asked = { operation: 'snapshot', ...askerOf(context) };
    return await this.#audit.around(asked, () => super.open(context));
  }
}

export class AuditedBeService extends BeService {
  readonly #audit: AuditLog;

  constructor(store: IdentifiedStore, budget: Budget, limits: Limits, audit: AuditLog) {
    super(store, budget, limits, new AuditedSnapshots(store, budget, audit));
    this.#audit = audit;
  }

  /** Records who binds itself to which state of the keyring, so a rotation is visible here. */
  override async hello(
    session: BeSession,
    mark: KeyringMark | undefined,
    context: RequestContext,
  ): Promise<Welcome> {
    const asked = { operation: 'hello', ...askerOf(context), epoch: mark?.epoch };
    return await this.#audit.around(asked, () => super.hello(session, mark, context));
  }

  override async put(
    session: BeSession,
    key: Buffer,
    value: Value,
    condition: Condition,
    context: RequestContext,
  ): Promise<PutResult> {
    return await this.#note('put', key, context, () =>
      super.put(session, key, value, condition, context),
    );
  }

  override async get(
    session: BeSession,
    key: Buffer,
    acceptBytes: number,
    context: RequestContext,
  ): Promise<StoredValue> {
    return await this.#note('get', key, context, () =>
      super.get(session, key, acceptBytes, context),
    );
  }

  override async head(
    session: BeSession,
    key: Buffer,
    context: RequestContext,
  ): Promise<StoredHead> {
    return await this.#note('head', key, context, () => super.head(session, key, context));
  }

  override async remove(
    session: BeSession,
    key: Buffer,
    condition: Condition,
    context: RequestContext,
  ): Promise<boolean> {
    return await this.#note('remove', key, context, () =>
      super.remove(session, key, condition, context),
    );
  }

  override async scan(
    session: BeSession,
    prefix: Buffer,
    after: Buffer | undefined,
    limit: number,
    context: RequestContext,
  ): Promise<ScanPage> {
    const asked = { operation: 'scan', ...askerOf(context), namespace: prefix };
    return await this.#audit.around(asked, () =>
      super.scan(session, prefix, after, limit, context),
    );
  }

  override async storeForeign(
    token: Buffer,
    record: Buffer,
    context: RequestContext,
  ): Promise<PutResult> {
    return await this.#note('store', tokenKey(token), context, () =>
      super.storeForeign(token, record, context),
    );
  }

  override async retrieveForeign(token: Buffer, context: RequestContext): Promise<Buffer> {
    return await this.#note('retrieve', tokenKey(token), context, () =>
      super.retrieveForeign(token, context),
    );
  }

  override async deleteForeign(token: Buffer, context: RequestContext): Promise<boolean> {
    return await this.#note('delete', tokenKey(token), context, () =>
      super.deleteForeign(token, context),
    );
  }

  override async info(context: RequestContext): Promise<Record<string, unknown>> {
    const asked = { operation: 'info', ...askerOf(context) };
    const facts = await this.#audit.around(asked, () => super.info(context));
    return { ...facts, audit: this.#audit.facts };
  }

  override unreadyReason(): string | undefined {
    return super.unreadyReason() ?? auditLack(this.#audit.facts);
  }

  async #note<T>(
    operation: string,
    name: Buffer,
    context: RequestContext,
    work: () => Promise<T>,
  ): Promise<T> {
    return await this.#audit.around({ operation, ...askerOf(context), name }, work);
  }
}
