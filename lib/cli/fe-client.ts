/** `fe-client`: stores, retrieves and deletes records through the front end. */
import type { Command } from 'commander';
import { checkName } from '../crypto/record-name.ts';
import { EncServerError, EXIT, type ExitCode } from '../errors.ts';
import { drawKey, FeClient } from '../fe/client.ts';
import { type ClientCommand, ClientProgram, type ClientSetting } from './client-flags.ts';
import { checkUtf8, given } from './command-line.ts';
import {
  checkKeyFlags,
  checkRecordFlags,
  type KeyFlags,
  printKey,
  type RecordFlags,
  readKey,
  readRecord,
  removeKeyFile,
  writeKeyFile,
  writeRecord,
} from './record-io.ts';
import { deliver, note, usage } from './terminal.ts';
import { runTrial } from './trial.ts';

interface NameFlags {
  readonly id: string;
  readonly namespace?: string;
}

type StoreFlags = NameFlags & RecordFlags & { keyOut?: string; ifAbsent?: boolean };
type RetrieveFlags = NameFlags & KeyFlags & { out?: string };
type DeleteFlags = NameFlags & KeyFlags & { mustExist?: boolean };

export function runFeClient(argv: readonly string[]): Promise<ExitCode> {
  const about = 'Stores, retrieves and deletes records. Alone, it tries all three.';
  const client = new ClientProgram('fe-client', about, 'feClientConfigs', trial);
  client.add(STORE);
  client.add(RETRIEVE);
  client.add(DELETE);
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
      .option('--if-absent', 'only if nothing is stored under the ID (else exit 7)');
  },
  check(flags) {
    checkNameFlags(flags);
    checkRecordFlags(flags);
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
  check(flags) {
    checkNameFlags(flags);
    checkKeyFlags(flags);
  },
  run: retrieve,
};

const DELETE: ClientCommand<DeleteFlags> = {
  name: 'delete',
  about: 'delete a record; where a key is given, only the right one deletes',
  addFlags(command) {
    addKeyFlags(addNamespaceFlag(command), 'a file with the key').option(
      '--must-exist',
      'exit 3 if there was no record',
    );
  },
  check(flags) {
    checkNameFlags(flags);
    checkKeyFlags(flags);
  },
  run: remove,
};

function addNamespaceFlag(command: Command): Command {
  return command.option('--namespace <name>', 'the namespace of the ID, at most 255 bytes');
}

function addKeyFlags(command: Command, aboutFile: string): Command {
  const about = '64 hex digits (visible in the process list), or - for standard input';
  return command.option('--key <hex>', about).option('--key-file <path>', aboutFile, given);
}

async function store(flags: StoreFlags, setting: ClientSetting): Promise<ExitCode> {
  const record = await readRecord(flags);
  const key = drawKey();
  const { keyOut } = flags;
  if (keyOut !== undefined) await writeKeyFile(keyOut, key);
  const client = clientFor(setting);
  try {
    const { revision, replaced } = await client.store(flags.id, record, {
      ...namespaceOf(flags),
      key,
      ifAbsent: flags.ifAbsent ?? false,
    });
    await tellKey(setting, key, keyOut, { revision: revision.toString('hex'), replaced });
    return EXIT.done;
  } catch (error) {
    await settleKey(error as EncServerError, setting, key, keyOut);
    throw error;
  } finally {
    client.close();
  }
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

/** Where the record may be stored although the command failed, its key must not be lost. */
async function settleKey(
  error: EncServerError,
  setting: ClientSetting,
  key: Buffer,
  keyOut: string | undefined,
): Promise<void> {
  const { code, row } = error;
  // The server sends none of these: standard output took no result, and so no key.
  if (code === 'FILE_ERROR') {
    if (keyOut === undefined) note('fe-client: the record is stored, its key lost: store it again');
    return;
  }
  const maybeStored = row.retry === 'if-idempotent' || code === 'INTERNAL' || code === 'BAD_FRAME';
  if (!maybeStored) {
    if (keyOut !== undefined) await removeKeyFile(keyOut);
    return;
  }
  note('fe-client: the record may be stored; keep its key until that is known');
  if (keyOut === undefined) await tellKey(setting, key, keyOut, {});
}

async function retrieve(flags: RetrieveFlags, setting: ClientSetting): Promise<ExitCode> {
  const key = await readKey(flags);
  if (key === undefined) {
    throw usage('no key', 'give it with --key-file PATH, --key - or ENC_SERVER_TS_KEY');
  }
  return await withClient(setting, async (client) => {
    const { record, revision } = await client.retrieve(flags.id, key, namespaceOf(flags));
    if (!setting.json || flags.out !== undefined) await writeRecord(record, flags.out);
    if (setting.json) {
      await setting.result('', {
        revision: revision.toString('hex'),
        bytes: record.length,
        ...(flags.out === undefined ? { record64: record.toString('base64') } : {}),
      });
    }
    return EXIT.done;
  });
}

async function remove(flags: DeleteFlags, setting: ClientSetting): Promise<ExitCode> {
  const key = await readKey(flags);
  return await withClient(setting, async (client) => {
    const call = { ...namespaceOf(flags), ...(key === undefined ? {} : { key }) };
    const existed = await client.delete(flags.id, call);
    if (flags.mustExist && !existed) {
      throw new EncServerError('NOT_FOUND', 'there was no record to delete');
    }
    await setting.result('SUCCESS', { existed });
    return EXIT.done;
  });
}

async function trial(setting: ClientSetting): Promise<ExitCode> {
  const key = drawKey();
  return await withClient(setting, (client) =>
    runTrial(setting, {
      store: async (id, record) => {
        await client.store(id, record, { key, ifAbsent: true });
      },
      retrieve: async (id) => (await client.retrieve(id, key)).record,
      remove: async (id) => {
        await client.delete(id, { key });
      },
    }),
  );
}

function checkNameFlags(flags: NameFlags): void {
  checkUtf8('--id', flags.id, 'other bytes are taken by the client library');
  checkUtf8('--namespace', flags.namespace, 'other bytes are taken by the client library');
  checkName({ id: Buffer.from(flags.id), namespace: Buffer.from(flags.namespace ?? '') });
}

function namespaceOf(flags: NameFlags): { namespace?: string } {
  return flags.namespace === undefined ? {} : { namespace: flags.namespace };
}

function clientFor(setting: ClientSetting): FeClient {
  const { address, timeoutMs, frameBytesMax } = setting;
  return new FeClient({ address, timeoutMs, frameBytesMax });
}

async function withClient<T>(
  setting: ClientSetting,
  use: (client: FeClient) => Promise<T>,
): Promise<T> {
  const client = clientFor(setting);
  try {
    return await use(client);
  } finally {
    client.close();
  }
}
