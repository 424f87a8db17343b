/**
 * Who may replace and delete records. Under the policy `open` an ID is enough, as in the rest of
 * the family; under `key-proof` the record's current key is needed, which is checked against the
 * commitment in the header, so that no body is read. Proof and write are atomic: what was proven
 * must still be there.
 */
import { hasScope, isKnown } from '../access.ts';
import { proveKey, type RecordName } from '../crypto/envelope.ts';
import { codeOf, EncServerError } from '../errors.ts';
import type { RequestContext } from '../net/request.ts';
import { callOf, isExpired, noting } from './calls.ts';
import { despiteOthers } from './despite-others.ts';
import { isLegacyHeader } from './legacy.ts';
import { orAbsent } from './lookup.ts';
import type { FoundHead, Placement, SealedRecord, Written } from './placement.ts';
import type { Reader } from './reading.ts';
import { Turns } from './turns.ts';
import { changed, IF_ABSENT, ifUnchanged, type WriteCondition } from './write-condition.ts';

export type WritePolicy = 'open' | 'key-proof';

/** What a writer proves of the existing record. */
export interface WriteProof {
  readonly condition: WriteCondition;
  /** The current key of the record. */
  readonly oldKey: Buffer | undefined;
  /** The caller's own key of the new record: if the record already has it, that is a proof. */
  readonly key: Buffer | undefined;
  /** The server keeps the key itself: no caller has one to show. */
  readonly kept: boolean;
}

/** The keys that may prove the right to replace a record. */
interface Proofs {
  /** Shown as the record's current key. */
  readonly shown: Buffer | undefined;
  /** The record's new key: if it already has that key, that is a proof. */
  readonly own?: Buffer | undefined;
}

export class Writer {
  readonly #placement: Placement;
  readonly #reader: Reader;
  readonly #policy: WritePolicy;
  readonly #takesConditions: boolean;
  readonly #turns = new Turns();

  /** Without conditions, the record may change between proof and write. */
  constructor(placement: Placement, reader: Reader, policy: WritePolicy, takesConditions: boolean) {
    this.#placement = placement;
    this.#reader = reader;
    this.#policy = policy;
    this.#takesConditions = takesConditions;
  }

  /**
   * Rejects with `CONFLICT` if the condition does not hold, `WRONG_KEY`, `KEY_REQUIRED`,
   * `OVERLOADED` if others keep writing the record; else as {@link Placement.put}.
   */
  put(
    name: RecordName,
    sealed: SealedRecord,
    proof: WriteProof,
    context: RequestContext,
  ): Promise<Written> {
    const put = () => this.#put(name, sealed, proof, context);
    return this.#turns.pass(name, context)?.then(put) ?? put();
  }

  #put(
    name: RecordName,
    sealed: SealedRecord,
    proof: WriteProof,
    context: RequestContext,
  ): Promise<Written> {
    const { condition, oldKey, kept } = proof;
    const isProven = oldKey !== undefined || (this.#policy === 'key-proof' && !kept);
    if (!isProven || condition.kind === 'absent') {
      return this.#placement.put(name, sealed, condition, callOf(context));
    }
    const put = () => this.#putProven(name, sealed, proof, context);
    return despiteOthers(condition, context, put, this.#turns.of(name, context));
  }

  /**
   * Deletes a record; with a key, only if it is the right one. Resolves to whether there was a
   * record. Rejects with `WRONG_KEY`, `KEY_REQUIRED`, `CONFLICT`, `OVERLOADED`, `ALTERED`.
   */
  async remove(
    name: RecordName,
    key: Buffer | undefined,
    condition: WriteCondition,
    context: RequestContext,
  ): Promise<boolean> {
    await this.#turns.pass(name, context);
    if (key === undefined) {
      if (this.#policy === 'key-proof' && !mayDeleteAnything(name, context)) {
        // Nobody looked, so the words do not say that there is a record.
        throw new EncServerError('KEY_REQUIRED', 'a record is deleted only with its key');
      }
      return await this.#placement.remove(name, condition, callOf(context));
    }
    const remove = () => this.#removeProven(name, key, condition, context);
    return await despiteOthers(condition, context, remove, this.#turns.of(name, context));
  }

  async #removeProven(
    name: RecordName,
    key: Buffer,
    condition: WriteCondition,
    context: RequestContext,
  ): Promise<boolean> {
    try {
      const found = await this.#placement.head(name, callOf(context));
      if (isExpired(found.header, found.askedAtMs)) return false;
      const proof = await this.#prove(found, name, { shown: key }, context);
      checkIsMeant(found, condition);
      const proven = this.#takesConditions ? proof : condition;
      return await this.#placement.remove(name, proven, callOf(context));
    } catch (error) {
      if (codeOf(error) === 'NOT_FOUND') return false;
      throw error;
    }
  }

  async #putProven(
    name: RecordName,
    sealed: SealedRecord,
    { condition, oldKey, key }: WriteProof,
    context: RequestContext,
  ): Promise<Written> {
    if (oldKey === undefined && condition.kind === 'always') {
      // Most records are new, so try that first.
      try {
        return await this.#placement.put(name, sealed, IF_ABSENT, callOf(context));
      } catch (error) {
        if (codeOf(error) !== 'CONFLICT') throw error;
      }
    }
    const found = await this.#find(name, context);
    if (found === undefined || isExpired(found.header, found.askedAtMs)) {
      if (condition.kind === 'revision') throw changed();
      return await this.#placement.put(name, sealed, IF_ABSENT, callOf(context));
    }
    checkIsMeant(found, condition);
    const proven = await this.#prove(found, name, { shown: oldKey, own: key }, context);
    return await this.#placement.put(name, sealed, proven, callOf(context));
  }

  /**
   * Proves that one of the keys is the record's. Resolves to the condition that it is unchanged.
   */
  async #prove(
    found: FoundHead,
    name: RecordName,
    keys: Proofs,
    context: RequestContext,
  ): Promise<WriteCondition> {
    if (isLegacyHeader(found.header)) return await this.#proveByReading(found, name, keys, context);
    proveByHeader(found.header, name, keys, context);
    return unchanged(found);
  }

  /** A record that the family sealed proves its key only by its body. */
  async #proveByReading(
    { revision: expected }: FoundHead,
    name: RecordName,
    { shown, own }: Proofs,
    context: RequestContext,
  ): Promise<WriteCondition> {
    let refusal: unknown = keyRequired();
    // Nothing is claimed, and no other record is taken for the one that was looked at.
    const options = { claims: false, expected };
    for (const key of [shown, own]) {
      if (key === undefined) continue;
      try {
        return unchanged(await this.#reader.read(name, key, options, context));
      } catch (error) {
        if (codeOf(error) !== 'WRONG_KEY') throw error;
        if (key === shown) refusal = error;
      }
    }
    throw refusal;
  }

  #find(name: RecordName, context: RequestContext): Promise<FoundHead | undefined> {
    return orAbsent(this.#placement.head(name, callOf(context)));
  }
}

/** Operators may remove records whose key nobody has any more. */
function mayDeleteAnything({ namespace }: RecordName, { caller }: RequestContext): boolean {
  return isKnown(caller) && hasScope(caller, 'admin', namespace);
}

/**
 * Proves that one of the keys is the record's: the old key, or the new one if it was stored before.
 */
function proveByHeader(
  header: Buffer,
  name: RecordName,
  { shown, own }: Proofs,
  context: RequestContext,
): void {
  let refusal: unknown = keyRequired();
  for (const key of [shown, own]) {
    if (key === undefined) continue;
    try {
      proveKey(header, name, key);
      return;
    } catch (error) {
      if (key === shown || codeOf(error) !== 'WRONG_KEY') refusal = error;
      // The error stays that the old key is missing, but a wrong own key still counts as a guess.
      else context.noteWrongKey();
    }
  }
  noting(context, () => {
    throw refusal;
  });
}

/** Checks an existing record against a write condition. @throws EncServerError `CONFLICT` */
export function checkIsMeant({ revision }: FoundHead, condition: WriteCondition): void {
  if (condition.kind === 'absent') throw changed();
  if (condition.kind === 'revision' && !condition.revision.equals(revision)) throw changed();
}

function unchanged({ revision }: Pick<FoundHead, 'revision'>): WriteCondition {
  return ifUnchanged(revision);
}

function keyRequired(): EncServerError {
  return new EncServerError('KEY_REQUIRED', 'there is a record already, under a key of its own');
}
