/**
 * Keyring files that the program writes, and what can be wrong with one: the program and the
 * second decoder must take the same ones. The checksums fit, so that the values are what counts.
 */
import assert from 'node:assert/strict';
import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createKeyring, loadKeyring } from '../../lib/crypto/keyring.ts';
import {
  decodeKeyring,
  encodeKeyring,
  type Keyring,
  type KeyringEntry,
} from '../../lib/crypto/keyring-file.ts';
import { readKeyring } from '../helpers/second-keyring.ts';
import { assertRefused } from '../helpers/second-random.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

type File = Record<string, unknown> & { readonly entries: Record<string, unknown>[] };

const RETIRED = entry({ number: 7, state: 'retired' });
const ACTIVE = entry({ number: 65_535, state: 'active' });
const KEYRING: Keyring = {
  keyringId: bytesOf(16),
  epoch: 2 ** 32 - 1,
  entries: [RETIRED, ACTIVE],
  wrapEntries: [entry({ number: 1, state: 'active' }), entry({ number: 2, state: 'pending' })],
};
const TEXT = encodeKeyring(KEYRING).toString();

/** Keyrings with one value that is not as it must be. */
const BAD_VALUES: Readonly<Record<string, Partial<Keyring>>> = {
  'an ID of 15 bytes': { keyringId: bytesOf(15) },
  'an ID of 17 bytes': { keyringId: bytesOf(17) },
  'epoch 0': { epoch: 0 },
  'epoch 2^32': { epoch: 2 ** 32 },
  'epoch 1.5': { epoch: 1.5 },
  'no entries': { entries: [] },
  'no wrap entries': { wrapEntries: [] },
  'no active entry': { entries: [RETIRED] },
  'two active entries': { entries: [{ ...ACTIVE, number: 6 }, ACTIVE] },
  'entries that descend': { entries: [ACTIVE, RETIRED] },
  'a number twice': { entries: [{ ...RETIRED, number: 65_535 }, ACTIVE] },
  'number 0': { entries: [{ ...ACTIVE, number: 0 }] },
  'number 65,536': { entries: [{ ...ACTIVE, number: 65_536 }] },
  'number 1.5': { wrapEntries: [{ ...ACTIVE, number: 1.5 }] },
  'a secret of 31 bytes': { entries: [{ ...ACTIVE, secret: bytesOf(31) }] },
  'a secret of 33 bytes': { wrapEntries: [{ ...ACTIVE, secret: bytesOf(33) }] },
  'an unknown state': {
    entries: [ACTIVE],
    wrapEntries: [{ ...ACTIVE, state: 'lost' as 'active' }],
  },
};

/** Files that say the same in another way, and are taken. */
const GOOD_FORMS: Readonly<Record<string, () => string>> = {
  'as it was written': () => TEXT,
  'members in another order, without spaces': () =>
    JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(TEXT) as File).reverse())),
  'without about': () => edited({ about: undefined }),
  'about that is no text': () => edited({ about: [1, null] }),
  'an epoch in another form': () => TEXT.replace('4294967295', '4294967295.0'),
  'an epoch twice, the last one right': () => TEXT.replace('{', '{ "epoch": 1,'),
};

/** Files that are refused, though no value that the checksum covers is another. */
const BAD_FORMS: Readonly<Record<string, () => string>> = {
  'no bytes': () => '',
  'half a file': () => TEXT.slice(0, TEXT.length / 2),
  'a list': () => `[${TEXT}]`,
  null: () => 'null',
  'a byte order mark': () => `\ufeff${TEXT}`,
  'something after the end': () => `${TEXT}{}`,
  'another format': () => edited({ format: 'enc-server keyring' }),
  'version 2': () => edited({ version: 2 }),
  'a version that is text': () => edited({ version: '1' }),
  'another provider': () => edited({ provider: 'vault' }),
  'an unknown member': () => edited({ comment: '' }),
  'an unknown member of an entry': () => editedEntry({ comment: '' }),
  'an epoch that is text': () => edited({ epoch: `${KEYRING.epoch}` }),
  'an epoch twice, the last one wrong': () => TEXT.replace('}\n', ', "epoch": 1 }\n'),
  'entries that are no list': () => edited({ entries: { 0: ACTIVE } }),
  'an entry that is null': () => edited({ entries: [null] }),
  'digits in upper case': () =>
    editedEntry({ secret: ACTIVE.secret.toString('hex').toUpperCase() }),
  'a member of an entry missing': () => editedEntry({ state: undefined }),
  ...missing('format', 'version', 'provider', 'keyringId', 'epoch'),
  ...missing('entries', 'wrapEntries', 'checksum'),
};

describe('keyring files, read by the program and the second decoder', () => {
  let folder: string;
  before(async () => {
    folder = await temporaryFolder();
  });
  after(async () => await rm(folder, { recursive: true }));

  it('open when createKeyring() made them', async () => {
    const path = join(folder, 'made.json');
    const made = await createKeyring(path);
    assert.deepEqual(readKeyring(await readFile(path)), made);
  });

  it('open up to 16 MiB', async () => {
    const path = join(folder, 'large.json');
    const file = Buffer.alloc(16 * 1024 * 1024, ' ');
    file.write(TEXT);
    await writeFile(path, file, { mode: 0o600 });
    assert.deepEqual(readKeyring(file), KEYRING);
    assert.deepEqual(await loadKeyring(path), KEYRING);
    await appendFile(path, ' ');
    const larger = await readFile(path);
    assertRefused('KEYRING_DAMAGED', () => readKeyring(larger));
    await assert.rejects(loadKeyring(path), { code: 'KEYRING_DAMAGED' });
  });

  for (const [title, form] of Object.entries(GOOD_FORMS)) {
    it(`open: ${title}`, () => {
      assert.deepEqual(readKeyring(Buffer.from(form())), KEYRING);
      assert.deepEqual(decodeKeyring(Buffer.from(form())), KEYRING);
    });
  }

  for (const [title, values] of Object.entries(BAD_VALUES)) {
    it(`are refused: ${title}`, () => assertDamaged(encodeKeyring({ ...KEYRING, ...values })));
  }

  for (const [title, form] of Object.entries(BAD_FORMS)) {
    it(`are refused: ${title}`, () => assertDamaged(Buffer.from(form())));
  }
});

function bytesOf(length: number, fill = 0xc0): Buffer {
  return Buffer.alloc(length, fill);
}

function entry(facts: Pick<KeyringEntry, 'number' | 'state'>): KeyringEntry {
  return { ...facts, secret: bytesOf(32, 0xa0 | (facts.number & 0xf)) };
}

/** The file with some members changed; `undefined` takes one away. */
function edited(members: Record<string, unknown>): string {
  return JSON.stringify({ ...(JSON.parse(TEXT) as File), ...members });
}

/** The file with its active entry changed. */
function editedEntry(members: Record<string, unknown>): string {
  const { entries } = JSON.parse(TEXT) as File;
  return edited({ entries: [entries[0], { ...entries[1], ...members }] });
}

function missing(...members: string[]): Record<string, () => string> {
  const without = (member: string) => () => edited({ [member]: undefined });
  return Object.fromEntries(members.map((member) => [`no ${member}`, without(member)]));
}

function assertDamaged(file: Buffer): void {
  assertRefused(
    'KEYRING_DAMAGED',
    () => readKeyring(file),
    () => decodeKeyring(file),
  );
}
