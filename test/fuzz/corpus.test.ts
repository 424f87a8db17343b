/**
 * Inputs that were trouble once, here or in programs of this kind, before every decoder; and
 * random ones before those that no other file here has. Each decoder keeps nothing, and fails
 * with one of our codes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeTokens } from '../../lib/auth/token-file.ts';
import { parseText } from '../../lib/config/parse.ts';
import { decodeHead } from '../../lib/crypto/head.ts';
import { decodeHeader } from '../../lib/crypto/header.ts';
import { decodeKeyring, parseKeyringFile } from '../../lib/crypto/keyring-file.ts';
import { decodeMetadata } from '../../lib/crypto/metadata.ts';
import { Pseudonymizer } from '../../lib/crypto/pseudonym.ts';
import { decodeSealedKeyring } from '../../lib/crypto/sealed-keyring.ts';
import { EncServerError } from '../../lib/errors.ts';
import { decodeBatch } from '../../lib/protocol/batch.ts';
import { detect } from '../../lib/protocol/detect.ts';
import { Fields } from '../../lib/protocol/fields.ts';
import { FrameDecoder } from '../../lib/protocol/frame.ts';
import { LineDecoder, parseBeLine, parseFeLine } from '../../lib/protocol/text.ts';
import { readCorpus } from '../helpers/corpus.ts';
import { drawInput } from '../helpers/random-input.ts';

drawInput(7777);

const SECRET = Buffer.from(Array.from({ length: 32 }, (_none, index) => index));
const pseudonymizer = new Pseudonymizer(SECRET, 1);

/** What bytes from elsewhere come to, by name. */
const DECODERS: Readonly<Record<string, (bytes: Buffer) => unknown>> = {
  detection: (bytes) => detect(bytes, false),
  'detection at the end of input': (bytes) => detect(bytes, true),
  frames: (bytes) => {
    const decoder = new FrameDecoder(4_096);
    decoder.push(bytes);
    while (decoder.next() !== undefined);
    // Headers are copied once more when they are read ahead; nothing else is.
    assert.ok(decoder.copiedBytes <= 2 * bytes.length + 18);
  },
  fields: (bytes) => Fields.decode(bytes),
  batches: decodeBatch,
  'lines of the front end': (bytes) => linesOf(bytes).map(parseFeLine),
  'lines of the back end': (bytes) => linesOf(bytes).map(parseBeLine),
  'envelope headers': decodeHeader,
  heads: decodeHead,
  metadata: decodeMetadata,
  pseudonyms: (bytes) => pseudonymizer.open(bytes.subarray(0, 27), bytes.subarray(27)),
  keyrings: decodeKeyring,
  'sealed keyrings': (bytes) => decodeSealedKeyring(parseKeyringFile(bytes)),
  tokens: (bytes) => decodeTokens(bytes.toString('utf8'), 'tokens.json'),
  // Its text alone; config-fuzz.test.ts has whole files.
  configuration: (bytes) => parseText(bytes.toString('utf8'), 'config.json'),
};

function linesOf(bytes: Buffer): Buffer[] {
  const decoder = new LineDecoder(200);
  decoder.push(bytes);
  const lines: Buffer[] = [];
  for (let line = decoder.next(); line !== undefined; line = decoder.next()) lines.push(line);
  return lines;
}

async function check(decode: (bytes: Buffer) => unknown, bytes: Buffer): Promise<void> {
  try {
    await decode(bytes);
  } catch (thrown) {
    if (!(thrown instanceof EncServerError) || thrown.code === 'INTERNAL') throw thrown;
  }
}

/** Bytes, and texts that begin as the files do, or are nearly YAML. */
const anything = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
  fc.string({ unit: 'grapheme', maxLength: 100 }).map((text) => Buffer.from(text)),
  fc.json().map((text) => Buffer.from(text)),
  fc
    .array(
      fc.constantFrom(...'{}[]:,"\'#|>&*!?-\n\t ', '&a ', '*a', '<<: ', '---\n', 'a: ', '\n  '),
      {
        maxLength: 60,
      },
    )
    .map((parts) => Buffer.from(parts.join(''))),
  fc
    .record({ format: fc.constantFrom('enc-server-ts keyring', 'enc-server-ts tokens') })
    .chain((start) =>
      fc
        .record({
          version: fc.constantFrom<unknown>(1, 2, '1', null),
          provider: fc.constantFrom<unknown>('file', 'passphrase', 'transit', 7),
          how: fc.jsonValue(),
          keyringId: fc.jsonValue(),
          epoch: fc.jsonValue(),
          entries: fc.jsonValue(),
          wrapEntries: fc.jsonValue(),
          tokens: fc.jsonValue(),
        })
        .map((rest) => Buffer.from(JSON.stringify({ ...start, ...rest }))),
    ),
);

for (const [name, decode] of Object.entries(DECODERS)) {
  test(`${name}: nothing crashes the decoder`, async () => {
    for (const bytes of readCorpus()) {
      await check(decode, bytes);
      for (let end = 0; end < Math.min(bytes.length, 64); end++)
        await check(decode, bytes.subarray(0, end));
    }
    await fc.assert(fc.asyncProperty(anything, (bytes) => check(decode, bytes)));
  });
}

test('memory stays flat', async () => {
  const grow = async () => {
    await fc.assert(
      fc.asyncProperty(anything, async (bytes) => {
        for (const decode of Object.values(DECODERS)) await check(decode, bytes);
      }),
      { numRuns: 300 },
    );
    return process.memoryUsage().rss;
  };
  await grow();
  const before = await grow();
  const after = await grow();
  assert.ok(after - before < 64 * 1024 * 1024, `${before} became ${after}`);
});
