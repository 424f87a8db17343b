/** The steps of a keyring's life, and its file through them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  createKeyring,
  type Keyring,
  loadKeyring,
  updateKeyring,
} from '../../lib/crypto/keyring.ts';
import { activateEntry, addEntry, numberOf, retireEntry } from '../../lib/crypto/keyring-states.ts';
import { randomKey } from '../../lib/crypto/random.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { temporaryFolder } from '../helpers/servers.ts';

function newKeyring(): Keyring {
  const first = () => [{ number: 1, state: 'active' as const, secret: randomKey() }];
  return { keyringId: Buffer.alloc(16, 1), epoch: 1, entries: first(), wrapEntries: first() };
}

function statesOf({ entries }: Keyring): string[] {
  return entries.map(({ number, state }) => `${number} ${state}`);
}

describe('a rotation', () => {
  it('goes from pending to active to retired, with an epoch for each step', () => {
    const added = addEntry(newKeyring());
    assert.deepEqual([added.epoch, statesOf(added)], [2, ['1 active', '2 pending']]);
    const activated = activateEntry(added);
    assert.deepEqual([activated.epoch, statesOf(activated)], [3, ['1 old', '2 active']]);
    const retired = retireEntry(activated);
    assert.deepEqual([retired.epoch, statesOf(retired)], [4, ['1 retired', '2 active']]);
    const again = activateEntry(addEntry(retired));
    assert.deepEqual(statesOf(again), ['1 retired', '2 old', '3 active']);
    assert.equal(numberOf(again, 'old'), 2);
  });

  it('takes the secrets of kept keys along, and never changes a secret', () => {
    const first = newKeyring();
    const last = retireEntry(activateEntry(addEntry(first)));
    assert.deepEqual(
      last.wrapEntries.map(({ state }) => state),
      last.entries.map(({ state }) => state),
    );
    assert.deepEqual(last.entries[0]?.secret, first.entries[0]?.secret);
    assert.notDeepEqual(last.entries[1]?.secret, last.entries[0]?.secret);
    assert.notDeepEqual(last.entries[1]?.secret, last.wrapEntries[1]?.secret);
  });

  it('is one at a time, and each step has its place', () => {
    const conflict = { code: 'CONFLICT' };
    const [first, added] = [newKeyring(), addEntry(newKeyring())];
    assert.throws(() => activateEntry(first), conflict);
    assert.throws(() => retireEntry(first), conflict);
    assert.throws(() => addEntry(added), conflict);
    assert.throws(() => retireEntry(added), conflict);
    const activated = activateEntry(added);
    assert.throws(() => addEntry(activated), conflict);
    assert.throws(() => activateEntry(activated), conflict);
  });

  it('ends where numbers and epochs end', () => {
    const keyring = newKeyring();
    assert.throws(() => addEntry({ ...keyring, epoch: 0xffff_ffff }), { code: 'CONFLICT' });
    const last = [{ number: 0xffff, state: 'active' as const, secret: randomKey() }];
    assert.throws(() => addEntry({ ...keyring, entries: last }), { code: 'CONFLICT' });
  });
});

describe('the file of a keyring', () => {
  it('is changed whole, for its owner alone, by one command after the other', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'keyring.json');
    const made = await createKeyring(path);
    const bump = (keyring: Keyring) => ({ ...keyring, epoch: keyring.epoch + 1 });
    await Promise.all(Array.from({ length: 8 }, () => updateKeyring(path, bump)));
    const read = await loadKeyring(path);
    assert.equal(read?.epoch, 9);
    assert.deepEqual(read?.entries, made.entries);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    await rm(folder, { recursive: true });
  });

  it('stays what it was when a change is refused, held, or of the past', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'keyring.json');
    await rejectsWith(updateKeyring(path, addEntry), 'KEYRING_MISSING');
    await createKeyring(path);
    await rejectsWith(updateKeyring(path, retireEntry), 'CONFLICT');
    await rejectsWith(
      updateKeyring(path, (keyring) => ({ ...keyring, epoch: 0 })),
      'INTERNAL',
    );
    assert.deepEqual(statesOf((await loadKeyring(path)) as Keyring), ['1 active']);
    // Held: its holder says so again and again.
    const hold = () => writeFileSync(`${path}.lock`, '');
    hold();
    const beat = setInterval(hold, 500);
    await rejectsWith(updateKeyring(path, addEntry), 'CONFLICT');
    clearInterval(beat);
    await rm(folder, { recursive: true });
  });
});
