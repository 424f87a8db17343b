/**
 * The steps of a keyring's life. Each makes its next state, with an epoch of its own; the secrets
 * that wrap kept keys go through the same steps at the same time. Pure.
 *
 * pending -> active -> old -> retired, as NIST SP 800-57 part 1, section 7, has it (pre-activation,
 * active, deactivated); a retired secret is kept for backups that need it.
 */
import { EncServerError } from '../errors.ts';
import {
  ENTRY_NUMBER_MAX,
  type EntryState,
  EPOCH_MAX,
  type Keyring,
  type KeyringEntry,
} from './keyring-file.ts';
import { randomKey } from './random.ts';

/**
 * A keyring with a fresh pending entry of each kind.
 *
 * @throws EncServerError `CONFLICT` if an entry is pending or old: one rotation at a time
 */
export function addEntry(keyring: Keyring): Keyring {
  refuseWhile(keyring, 'pending', 'activate it: enc-server keys activate');
  refuseWhile(keyring, 'old', 'end the rotation first: enc-server keys rewrap, then keys retire');
  return next(keyring, (entries) => {
    const number = (entries.at(-1)?.number ?? 0) + 1;
    if (number > ENTRY_NUMBER_MAX) throw new EncServerError('CONFLICT', 'the keyring is full');
    return [...entries, { number, state: 'pending', secret: randomKey() }];
  });
}

/**
 * The pending entry becomes the active one, and the active one old.
 *
 * @throws EncServerError `CONFLICT` if none is pending, or one is old already
 */
export function activateEntry(keyring: Keyring): Keyring {
  if (numberOf(keyring, 'pending') === undefined) {
    const hint = 'add one first: enc-server keys add';
    throw new EncServerError('CONFLICT', 'no entry of the keyring is pending', { hint });
  }
  refuseWhile(keyring, 'old', 'end the rotation first: enc-server keys rewrap, then keys retire');
  const after = { pending: 'active', active: 'old', old: 'old', retired: 'retired' } as const;
  return next(keyring, (entries) => turned(entries, after));
}

/**
 * The old entry becomes retired. Nothing may lie under it any more.
 *
 * @throws EncServerError `CONFLICT` if none is old
 */
export function retireEntry(keyring: Keyring): Keyring {
  if (numberOf(keyring, 'old') === undefined) {
    throw new EncServerError('CONFLICT', 'no entry of the keyring is old', {
      hint: 'look at enc-server keys list',
    });
  }
  const after = {
    pending: 'pending',
    active: 'active',
    old: 'retired',
    retired: 'retired',
  } as const;
  return next(keyring, (entries) => turned(entries, after));
}

/** Sets whether records that still lie as the family's servers sealed them are opened. */
export function withLegacy(keyring: Keyring, isOpened: boolean): Keyring {
  const { legacy: _legacy, ...rest } = next(keyring, (entries) => [...entries]);
  return isOpened ? { ...rest, legacy: true } : rest;
}

/** The number of the entry in this state, if there is one. */
export function numberOf(keyring: Keyring, state: EntryState): number | undefined {
  return keyring.entries.find((entry) => entry.state === state)?.number;
}

function refuseWhile(keyring: Keyring, state: EntryState, hint: string): void {
  const number = numberOf(keyring, state);
  if (number === undefined) return;
  throw new EncServerError('CONFLICT', `entry ${number} of the keyring is ${state}`, { hint });
}

function next(
  keyring: Keyring,
  change: (entries: readonly KeyringEntry[]) => KeyringEntry[],
): Keyring {
  if (keyring.epoch >= EPOCH_MAX) throw new EncServerError('CONFLICT', 'there is no epoch left');
  return {
    ...keyring,
    epoch: keyring.epoch + 1,
    entries: change(keyring.entries),
    wrapEntries: change(keyring.wrapEntries),
  };
}

function turned(
  entries: readonly KeyringEntry[],
  after: Readonly<Record<EntryState, EntryState>>,
): KeyringEntry[] {
  return entries.map((entry) => ({ ...entry, state: after[entry.state] }));
}
