/** `fe-client`: stores, retrieves and deletes records through the front end. */
import { access } from 'node:fs/promises';
import type { Command } from 'commander';
import { parseDurationMs } from '../config/quantity.ts';
import { codeOf, EncServerError, EXIT, type ExitCode } from '../errors.ts';
import { drawKey, type RecordFacts, type StoreCall } from '../fe/client.ts';
import { EXPIRY_MS_MAX, expiryText } from '../protocol/expiry.ts';
import { type ClientCommand, ClientProgram, type ClientSetting } from './client-flags.ts';
import { checkUtf8, duration, given, revision } from './command-line.ts';
import { EXPORT, IMPORT, LIST } from './fe-bulk.ts';
import {
  addNamespaceFlag,
  checkNameFlags,
  clientFor,
  type NameFlags,
  namespaceOf,
  withClient,
} from './fe-calls.ts';
import {
  checkKeyFlags,
  checkRecordFlags,
  type KeyFlags,
  printKey,
  type RecordFlags,
  readKey,
  readRecord,
  removeKeyFile,
  requireKey,
  writeKeyFile,
} from './record-io.ts';
import { openRecordFile, tellRecord } from './record-out.ts';
import { requireRegularFile } from './regular-file.ts';
import { deliver, note, usage } from './terminal.ts';
import { requireAbsent, runTrial } from './trial.ts';

interface StoreFlags extends NameFlags, RecordFlags {
  readonly keyOut?: string;
  readonly oldKeyFile?: string;
  readonly ifAbsent?: boolean;
  readonly ifRevision?: string;
  readonly ttl?: string;
  readonly once?: boolean;
  readonly contentType?: string;
}

type RetrieveFlags = NameFlags & KeyFlags & { out?: string };
type DeleteFlags = NameFlags & KeyFlags & { mustExist?: boolean; ifRevision?: string };
type RekeyFlags = NameFlags & KeyFlags & { keyOut: string };

export function runFeClient(argv: readonly string[]): Promise<ExitCode> {
  const about = 'Stores, retrieves and deletes records. Alone, it tries all three.';
  const client = new ClientProgram('fe-client', about, 'feClientConfigs', trial);
  client.add(STORE);
  client.add(RETRIEVE);
  client.add(DELETE);
  client.add(HEAD);
  client.add(REKEY);
  client.add(LIST);
  client.add(IMPORT);
  client.add(EXPORT);
  return client.run(argv);
}

const STORE: ClientCommand<StoreFlags> = {
  name: 'store',
  about: 'store a record; prints the only key that opens it',
  addFlags(command) {
    addNamespaceFlag(command)
      .option('--record <text>', 'the record (default: standard input)')
      .option('--file <path>', 'the record, from a file', given)
      .option('--key-out <path>', 'write the key to this new file instead, before sending', given)
      .option('--old-key-file <path>', 'a file with the key of the record to be replaced', given)
      .option('--if-absent', 'only if nothing is stored under the ID (else exit 7)')
      .option('--if-revision <hex>', 'only if the record has this revision (else exit 7)', revision)
      .option('--ttl <time>', 'how long the record lives, such as 90s or 30d', duration)
      .option('--once', 'the record can be read once')
      .option('--content-type <type>', 'sealed with the record, such as text/plain', given);
  },
  check(flags) {
    checkNameFlags(flags);
    checkRecordFlags(flags);
    checkUtf8('--content-type', flags.contentType, 'write it in UTF-8');
    if (flags.ifAbsent && flags.ifRevision !== undefined) {
      throw usage('--if-absent and --if-revision exclude each other', 'leave one of them out');
    }
    if ((endOf(flags) ?? 0) > EXPIRY_MS_MAX) {
      throw usage('--ttl is too long', 'without it, the record stays until it is deleted');
    }
  },
  run: store,
};

const RETRIEVE: ClientCommand<RetrieveFlags> = {
  name: 'retrieve',
  about: 'write a record to standard output',
  addFlags(command) {
    addKeyFlags(addNamespaceFlag(command), 'a file with the key').option(
      '--out <path>',
      'write the record to this file',
      given,
    );
  },
  check: checkNameAndKey,
  run: retrieve,
};

const DELETE: ClientCommand<DeleteFlags> = {
  name: 'delete',
  about: 'delete a record; if a key is given, it must be the right one',
  addFlags(command) {
    addKeyFlags(addNamespaceFlag(command), 'a file with the key')
      .option('--must-exist', 'exit 3 if there was no record')
      .option('--if-revision <hex>', 'only if the record has this revision', revision);
  },
  check: checkNameAndKey,
  run: remove,
};

const HEAD: ClientCommand<NameFlags> = {
  name: 'head',
  about: 'show what can be known of a record without its key',
  addFlags: addNamespaceFlag,
  check: checkNameFlags,
  run: head,
};

const REKEY: ClientCommand<RekeyFlags> = {
  name: 'rekey',
  about: 'seal a record again under another key; can be repeated after a failure',
  addFlags(command) {
    addKeyFlags(addNamespaceFlag(command), 'a file with the key that it has now').requiredOption(
      '--key-out <path>',
      'the file of the new key; made if it is missing, used if it is there',
      given,
    );
  },
  check: checkNameAndKey,
  run: rekey,
};

function checkNameAndKey(flags: NameFlags & KeyFlags): void {
  checkNameFlags(flags);
  checkKeyFlags(flags);
}

function addKeyFlags(command: Command, aboutFile: string): Command {
  const about = '64 hex digits (visible in the process list), or - for standard input';
  return command.option('--key <hex>', about).option('--key-file <path>', aboutFile, given);
}

async function store(flags: StoreFlags, setting: ClientSetting): Promise<ExitCode> {
  const oldKey = flags.oldKeyFile && (await readKey({ keyFile: flags.oldKeyFile }));
  const record = await readRecord(flags);
  const key = drawKey();
  const { keyOut } = flags;
  if (keyOut !== undefined) await writeKeyFile(keyOut, key);
  const client = clientFor(setting);
  let isStored = false;
  try {
    const { revision, replaced } = await client.store(flags.id, record, {
      ...namespaceOf(flags),
      key,
      ...storeOptions(flags),
      ...(oldKey && { oldKey }),
    });
    isStored = true;
    await tellKey(setting, key, keyOut, { revision: revision.toString('hex'), replaced });
    return EXIT.done;
  } catch (error) {
    if (!isStored) await settleKey(error as EncServerError, setting, key, keyOut);
    // Standard output took no result, and so no key.
    else if (keyOut === undefined) {
      note('fe-client: the record is stored, its key lost: store it again');
    }
    throw error;
  } finally {
    client.close();
  }
}

function storeOptions(flags: StoreFlags): StoreCall {
  const { contentType } = flags;
  const expiryMs = endOf(flags);
  return {
    ifAbsent: flags.ifAbsent ?? false,
    once: flags.once ?? false,
    ...revisionOf(flags),
    ...(expiryMs !== undefined && { expiryMs }),
    ...(contentType !== undefined && { contentType }),
  };
}

function endOf({ ttl }: StoreFlags): number | undefined {
  return ttl === undefined ? undefined : Date.now() + (parseDurationMs(ttl) ?? 0);
}

function revisionOf({ ifRevision }: { ifRevision?: string }): { ifRevision?: Buffer } {
  return ifRevision === undefined ? {} : { ifRevision: Buffer.from(ifRevision, 'hex') };
}

async function tellKey(
  setting: ClientSetting,
  key: Buffer,
  keyOut: string | undefined,
  facts: Record<string, unknown>,
): Promise<void> {
  if (keyOut !== undefined) await setting.result('SUCCESS', { ...facts, keyOut });
  else if (setting.json)
    await deliver(`${JSON.stringify({ key: key.toString('hex'), ...facts })}\n`);
  else await printKey(key);
}

/** If the record may be stored although the command failed, its key must not be lost. */
async function settleKey(
  error: EncServerError,
  setting: ClientSetting,
  key: Buffer,
  keyOut: string | undefined,
): Promise<void> {
  const { code, row } = error;
  const maybeStored = row.retry === 'if-idempotent' || code === 'INTERNAL' || code === 'BAD_FRAME';
  if (!maybeStored) {
    if (keyOut !== undefined) await removeKeyFile(keyOut);
    return;
  }
  note('fe-client: the record may be stored; keep its key until that is known');
  if (keyOut === undefined) await tellKey(setting, key, keyOut, {});
}

async function retrieve(flags: RetrieveFlags, setting: ClientSetting): Promise<ExitCode> {
  const key = await requireKey(flags);
  return await withClient(setting, async (client) => {
    // Done before the request: the record may be one that can be read once.
    const file = flags.out === undefined ? undefined : await openRecordFile(flags.out);
    const found = await client.retrieve(flags.id, key, namespaceOf(flags)).catch(async (error) => {
      await file?.drop();
      throw error;
    });
    const { record, contentType } = found;
    await tellRecord(record, file, setting, {
      ...shownFacts(found),
      bytes: record.length,
      ...(contentType !== undefined && { contentType }),
    });
    return EXIT.done;
  });
}

async function remove(flags: DeleteFlags, setting: ClientSetting): Promise<ExitCode> {
  const key = await readKey(flags);
  return await withClient(setting, async (client) => {
    const call = { ...namespaceOf(flags), ...revisionOf(flags), ...(key && { key }) };
    const existed = await client.delete(flags.id, call);
    if (flags.mustExist && !existed) {
      throw new EncServerError('NOT_FOUND', 'there was no record to delete');
    }
    await setting.result('SUCCESS', { existed });
    return EXIT.done;
  });
}

async function head(flags: NameFlags, setting: ClientSetting): Promise<ExitCode> {
  return await withClient(setting, async (client) => {
    const found = await client.head(flags.id, namespaceOf(flags));
    const facts = { ...shownFacts(found), sealedBytes: found.sealedBytes };
    const lines = Object.entries(facts).map(([name, value]) => `${name}: ${value}`);
    await setting.result(lines.join('\n'), facts);
    return EXIT.done;
  });
}

function shownFacts({ revision, expiryMs, once }: RecordFacts): Record<string, unknown> {
  return {
    revision: revision.toString('hex'),
    ...(expiryMs !== undefined && { expires: expiryText(expiryMs) }),
    ...(once && { once }),
  };
}

/** The new key is on disk before it is sent: in any case, one of the two opens the record. */
async function rekey(flags: RekeyFlags, setting: ClientSetting): Promise<ExitCode> {
  const oldKey = await requireKey(flags);
  const newKey = await keyFileOf(flags.keyOut);
  if (oldKey.equals(newKey)) {
    const hint = 'name a file with --key-out that is not there yet';
    throw new EncServerError('USAGE', 'the new key is the one that the record has', { hint });
  }
  return await withClient(setting, async (client) => {
    const done = await client.rekey(flags.id, oldKey, newKey, namespaceOf(flags));
    const facts = { revision: done.revision.toString('hex'), keyOut: flags.keyOut };
    await setting.result('SUCCESS', facts);
    return EXIT.done;
  });
}

/** The key from the file that an earlier attempt made, or a new one in a new file. */
async function keyFileOf(path: string): Promise<Buffer> {
  await requireRegularFile(path, 'name a file with --key-out: it must have the key in any case');
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  const known = isThere ? await readKey({ keyFile: path }) : undefined;
  if (known !== undefined) return known;
  const key = drawKey();
  await writeKeyFile(path, key);
  return key;
}

async function trial(setting: ClientSetting): Promise<ExitCode> {
  const key = drawKey();
  return await withClient(setting, (client) =>
    runTrial(setting, {
      store: async (id, record) => {
        const stored = client.store(id, record, { key, ifAbsent: true });
        await stored.catch(async (error: unknown) => {
          // A back end of the family takes no conditions: looked at first, then stored.
          if (codeOf(error) !== 'UNKNOWN_FIELD') throw error;
          await requireAbsent(client.head(id));
          await client.store(id, record, { key });
        });
      },
      retrieve: async (id) => (await client.retrieve(id, key)).record,
      remove: async (id) => {
        await client.delete(id, { key });
      },
    }),
  );
}
