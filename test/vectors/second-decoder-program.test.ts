/**
 * The program's envelopes against the second decoder, on random input: what one of them seals or
 * refuses, the other opens or refuses, with the same code.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodeHeader, open, type SealInput, seal } from '../../lib/crypto/envelope.ts';
import { decodeMetadata, encodeMetadata } from '../../lib/crypto/metadata.ts';
import { unwrapKey as unwrapInProgram } from '../../lib/crypto/wrap.ts';
import { openRecord, readHeader, readMetadata, unwrapKey } from '../helpers/second-decoder.ts';
import {
  assertRefused,
  assertSame,
  bytes,
  damage,
  entry,
  fault,
  name,
  outcome,
  rounds,
  SEED,
  secret,
} from '../helpers/second-random.ts';

const metadata = fc.record(
  {
    contentType: fc.constantFrom('text/plain', 'x', 'image/svg+xml; ä€😀', '\ufeffa'),
    paddingBytes: fc.nat(500),
  },
  { requiredKeys: [], noNullPrototype: true },
);
const sealing = fc.record({
  name,
  key: secret,
  record: fc.oneof({ weight: 9, arbitrary: bytes(0, 2_000) }, bytes(60_000, 70_000)),
  flags: fc.constantFrom(0, 1, 2, 3, 8, 9, 10, 11),
  expiryMs: fc.oneof(fc.constant(0), fc.maxSafeNat()),
  metadata,
  wrapped: fc.option(entry, { nil: undefined }),
});
type Sealing = typeof sealing extends fc.Arbitrary<infer T> ? T : never;

function sealedBy(input: Sealing) {
  const { wrapped, ...rest } = input;
  const optional = wrapped === undefined ? {} : { wrapped };
  const plain: SealInput = { ...rest, ...optional, metadata: encodeMetadata(input.metadata) };
  return seal(plain);
}

function openInProgram(header: Buffer, body: Buffer, input: Sealing) {
  const opened = open(header, body, input.name, input.key);
  return { record: opened.record, metadata: decodeMetadata(opened.metadata) };
}

function openInSecond(header: Buffer, body: Buffer, input: Sealing) {
  const opened = openRecord(header, body, input.name, input.key);
  return { record: opened.record, metadata: opened.metadata };
}

describe('envelopes of the program and the second decoder', () => {
  it('opens what seal() sealed', (t) => {
    rounds(t, sealing, (input) => {
      const { header, body } = sealedBy(input);
      const opened = openRecord(header, body, input.name, input.key);
      assert.deepEqual(opened.record, input.record);
      assert.deepEqual(opened.metadata, input.metadata);
      assert.equal(opened.expiryMs, input.expiryMs);
      assert.equal(opened.flags, input.flags | (input.wrapped === undefined ? 0 : 4));
      if (input.wrapped === undefined) return;
      assert.deepEqual(unwrapKey(header, input.name, [input.wrapped]), input.key);
    });
  });

  it('refuse the same damaged envelopes', (t) => {
    const damaged = fc.record({ input: sealing, fault, inBody: fc.boolean() });
    rounds(t, damaged, ({ input, fault, inBody }) => {
      const sealed = sealedBy(input);
      const header = inBody ? sealed.header : damage(sealed.header, fault);
      const body = inBody ? damage(sealed.body, fault) : sealed.body;
      const second = outcome(() => openInSecond(header, body, input));
      assert.deepEqual(
        second,
        outcome(() => openInProgram(header, body, input)),
      );
      // Of all that is stored, only the wrapped key is not needed by who has the record key.
      const wrapChanged = 'value' in second && header.length === 118;
      assert.ok('code' in second || wrapChanged);
      if (inBody) assert.deepEqual(second, { code: 'ALTERED' });
      if (wrapChanged) assert.deepEqual(header.subarray(0, 68), sealed.header.subarray(0, 68));
    });
  });

  it('refuse another key, ID or namespace', (t) => {
    const changed = fc.record({ input: sealing, name, key: secret });
    rounds(t, changed, ({ input, name, key }) => {
      const { header, body } = sealedBy(input);
      const others = [{ ...input, key }, ...otherNames(input, name)];
      for (const other of others) {
        const same = other.key.equals(input.key) && sameName(other, input);
        if (same) continue;
        assertRefused(
          'WRONG_KEY',
          () => openInSecond(header, body, other),
          () => openInProgram(header, body, other),
        );
      }
    });
  });

  it('refuse the same damaged kept keys', (t) => {
    const damaged = fc.record({ input: sealing, wrapped: entry, fault, other: entry });
    rounds(t, damaged, ({ input, wrapped, fault, other }) => {
      const { header } = sealedBy({ ...input, wrapped });
      const changed = damage(header, fault);
      const inCommitment = changed.length === 118 && sameBut(changed, header, 36, 68);
      const second = outcome(() => unwrapKey(changed, input.name, [wrapped]));
      const program = outcome(() => unwrapInProgram(changed, input.name, wrapped));
      assert.deepEqual(second, program);
      // The commitment is no part of the context: it is proven when the record is opened.
      assert.deepEqual(second, inCommitment ? { value: input.key } : { code: 'ALTERED' });
      assert.equal(readHeader(header).wrapped?.number, decodeHeader(header).wrapKeyNumber);
      if (other.secret.equals(wrapped.secret)) return;
      const entries = [{ ...other, number: wrapped.number }];
      assertRefused('ALTERED', () => unwrapKey(header, input.name, entries));
    });
  });

  it('read the same headers, whatever they say', (t) => {
    const start = fc.record({
      version: fc.constantFrom(1, 1, 1, 0, 2),
      suite: fc.constantFrom(1, 1, 1, 0, 2),
      flags: fc.nat(20),
      reserved: fc.constantFrom(0, 0, 0, 1),
      expiry: fc.constantFrom(0n, 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 64n - 1n),
      rest: fc
        .oneof(fc.constantFrom(56, 106), fc.nat(120))
        .map((length) => Buffer.alloc(length, 7)),
    });
    rounds(t, start, ({ version, suite, flags, reserved, expiry, rest }) => {
      const header = Buffer.concat([Buffer.of(version, suite, flags, reserved), u64(expiry), rest]);
      assertSame(
        () => readHeader(header),
        () => {
          const { version, suite, wrapKeyNumber, wrappedKey, ...facts } = decodeHeader(header);
          assert.deepEqual([version, suite], [1, 1]);
          const kept = wrapKeyNumber !== undefined && wrappedKey !== undefined;
          return {
            ...facts,
            wrapped: kept ? { number: wrapKeyNumber, key: wrappedKey } : undefined,
          };
        },
      );
    });
  });

  it('read the same metadata, damaged, random and of unknown types', (t) => {
    const item = fc.record({ type: fc.constantFrom(1, 2, 3, 127, 128), value: bytes(0, 20) });
    const items = fc.array(item, { maxLength: 4 }).map((list) => Buffer.concat(list.map(itemOf)));
    const known = metadata.map(encodeMetadata);
    const any = fc.oneof(known, items, bytes(0, 40));
    rounds(t, fc.record({ any, fault }), ({ any, fault }) => {
      for (const read of [any, damage(any, fault)]) {
        assertSame(
          () => readMetadata(read),
          () => decodeMetadata(read),
        );
      }
    });
  });

  it("refuse a caller's impossible name or key alike", () => {
    const [one] = fc.sample(sealing, { seed: SEED, numRuns: 1 }) as [Sealing];
    const { header, body } = sealedBy(one);
    const cases: [string, Sealing][] = [
      ['INVALID_ID', { ...one, name: { ...one.name, id: Buffer.alloc(0) } }],
      ['INVALID_ID', { ...one, name: { ...one.name, id: Buffer.alloc(1025) } }],
      ['INVALID_NAMESPACE', { ...one, name: { ...one.name, namespace: Buffer.alloc(256) } }],
      ['INVALID_KEY', { ...one, key: one.key.subarray(1) }],
      ['INVALID_KEY', { ...one, key: Buffer.alloc(33, 1) }],
    ];
    for (const [code, input] of cases) {
      assertRefused(
        code,
        () => openInSecond(header, body, input),
        () => openInProgram(header, body, input),
        () => sealedBy(input),
      );
      // A malformed header comes before all that the caller says.
      const cut = header.subarray(1);
      assertRefused(
        'ALTERED',
        () => openInSecond(cut, body, input),
        () => openInProgram(cut, body, input),
      );
    }
  });
});

function u64(value: bigint): Buffer {
  const encoded = Buffer.alloc(8);
  encoded.writeBigUInt64BE(value);
  return encoded;
}

/** Names that share as much as they can with the right one. */
function otherNames(input: Sealing, other: Sealing['name']): Sealing[] {
  const { namespace, id } = input.name;
  const names = [
    other,
    { namespace, id: other.id },
    { namespace: other.namespace, id },
    { namespace, id: Buffer.concat([id.subarray(0, 1023), Buffer.of(0)]) },
  ];
  return names.map((changed) => ({ ...input, name: changed }));
}

function sameName(one: Sealing, other: Sealing): boolean {
  return one.name.id.equals(other.name.id) && one.name.namespace.equals(other.name.namespace);
}

/** Whether nothing differs outside `from` to `to`. */
function sameBut(one: Buffer, other: Buffer, from: number, to: number): boolean {
  return (
    one.subarray(0, from).equals(other.subarray(0, from)) &&
    one.subarray(to).equals(other.subarray(to))
  );
}

function itemOf({ type, value }: { type: number; value: Buffer }): Buffer {
  return Buffer.concat([Buffer.of(type, 0, value.length), value]);
}
