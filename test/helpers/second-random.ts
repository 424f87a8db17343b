/** Random input for the tests that hold the program against the second decoder. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { EncServerError } from '../../lib/errors.ts';
import { seedOr } from './random-input.ts';
import { Refused } from './second-decoder.ts';

/** `SEED=n` runs the tests with other input. */
export const SEED = seedOr(5297);
const ROUNDS = 300;

/** Checks random values; the seed is printed, and a failure says which value it was. */
export function rounds<T>(
  t: TestContext,
  arbitrary: fc.Arbitrary<T>,
  check: (value: T) => void,
): void {
  t.diagnostic(`SEED=${SEED}, ${ROUNDS} rounds`);
  fc.assert(fc.property(arbitrary, check), { seed: SEED, numRuns: ROUNDS });
}

/** Bytes of a random length, now and then all zeros, which padding could be taken for. */
export function bytes(minLength: number, maxLength: number): fc.Arbitrary<Buffer> {
  const drawn = fc.record({
    length: fc.integer({ min: minLength, max: maxLength }),
    seed: fc.nat(),
    zeros: fc.nat(9),
  });
  return drawn.map(({ length, seed, zeros }) => {
    if (zeros === 0 || length === 0) return Buffer.alloc(length);
    return createHash('shake256', { outputLength: length }).update(`${seed}`).digest();
  });
}

export const secret = bytes(32, 32);
export const name = fc.record(
  { namespace: bytes(0, 255), id: bytes(1, 1024) },
  { noNullPrototype: true },
);
export const entry = fc.record({ number: fc.integer({ min: 1, max: 65_535 }), secret });

/** One fault: a bit flipped, the end cut off, or a byte too many. */
export const fault = fc.record({
  kind: fc.constantFrom('flip', 'flip', 'flip', 'cut', 'more'),
  at: fc.oneof(fc.nat(12), fc.nat(100_000)),
  bit: fc.nat(7),
});
export type Fault = typeof fault extends fc.Arbitrary<infer T> ? T : never;

/** Never the same bytes as before. */
export function damage(whole: Buffer, { kind, at, bit }: Fault): Buffer {
  if (kind === 'more' || whole.length === 0) return Buffer.concat([whole, Buffer.of(bit)]);
  if (kind === 'cut') return whole.subarray(0, at % whole.length);
  const damaged = Buffer.from(whole);
  const place = at % whole.length;
  damaged.writeUInt8(damaged.readUInt8(place) ^ (1 << bit), place);
  return damaged;
}

/** A value, or the code of a refusal; anything else thrown is a defect. */
export function outcome<T>(read: () => T): { value: T } | { code: string } {
  try {
    return { value: read() };
  } catch (thrown) {
    if (thrown instanceof Refused || thrown instanceof EncServerError) return { code: thrown.code };
    throw thrown;
  }
}

export function assertSame<T>(one: () => T, other: () => T): void {
  assert.deepEqual(outcome(one), outcome(other));
}

export function assertRefused(code: string, ...reads: (() => unknown)[]): void {
  for (const read of reads) assert.deepEqual(outcome(read), { code });
}
