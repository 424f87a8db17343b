/** A snapshot that a back end lends: the content of the store at one moment, as far as possible. */
import { type FrameClient, readCall } from '../net/client.ts';
import { bytesField, type FieldEntry, u32Field } from '../protocol/fields.ts';
import { FIELD, OPCODE } from '../protocol/messages.ts';
import type { ScanItem, StoredValue } from '../store/store.ts';
import { decodeScanItems } from './scan-items.ts';

/** Any body that fits into a frame. */
const BODY_BYTES_MAX = 0xffff_ffff;

/**
 * A lent snapshot, from {@link BeClient.openSnapshot}. It ends 60 seconds after it was last used,
 * and then rejects with `NOT_FOUND` (docs/PROTOCOL.md, "Back end").
 */
export class BeSnapshot {
  readonly #lane: FrameClient;
  readonly #lease: FieldEntry;

  /** @internal */
  constructor(lane: FrameClient, lease: Buffer) {
    this.#lane = lane;
    this.#lease = bytesField(FIELD.LEASE, lease);
  }

  /**
   * One page of keys that begin with `prefix` and lie after `after`, in ascending order: 1 to
   * 10,000 of them, as `limit` says, and at most 1 MiB. Rejects with `NOT_FOUND` if it has ended.
   */
  async scan(
    prefix: Buffer,
    after: Buffer | undefined,
    limit: number,
  ): Promise<{
    /** In ascending order of their keys, bytewise. */
    readonly items: readonly ScanItem[];
    /** Key to continue after, or undefined at the end. */
    readonly next: Buffer | undefined;
  }> {
    const fields = [this.#lease, bytesField(FIELD.PREFIX, prefix), u32Field(FIELD.LIMIT, limit)];
    if (after !== undefined) fields.push(bytesField(FIELD.AFTER, after));
    const answer = await this.#lane.call(readCall(OPCODE.SNAPSHOT_SCAN, fields, {}));
    return { items: decodeScanItems(answer.body), next: answer.fields.bytes(FIELD.AFTER) };
  }

  /**
   * One value. Rejects with `NOT_FOUND` if it is not in the snapshot, or the snapshot has ended.
   */
  async get(key: Buffer): Promise<StoredValue> {
    const fields = [
      this.#lease,
      bytesField(FIELD.STORE_KEY, key),
      u32Field(FIELD.ACCEPT_BYTES, BODY_BYTES_MAX),
    ];
    const { fields: facts, body } = await this.#lane.call(
      readCall(OPCODE.SNAPSHOT_GET, fields, {}),
    );
    return {
      head: facts.bytes(FIELD.HEAD) ?? Buffer.alloc(0),
      revision: facts.requireBytes(FIELD.REVISION),
      expiryMs: facts.u64(FIELD.EXPIRY) ?? 0,
      bodyBytes: body.length,
      body,
    };
  }

  /** Gives it back. Otherwise it ends by itself after the 60 seconds. */
  async close(): Promise<void> {
    await this.#lane.call(readCall(OPCODE.SNAPSHOT_CLOSE, [this.#lease], {}));
  }
}
