/** `be-client`: stores, retrieves and deletes opaque bytes at the back end, under tokens. */
import { BeClient } from '../be/client.ts';
import { tokenKey } from '../be/token-key.ts';
import { EncServerError, EXIT, type ExitCode } from '../errors.ts';
import { ifRevision } from '../store/store.ts';
import { type ClientCommand, ClientProgram, type ClientSetting } from './client-flags.ts';
import { checkUtf8, given } from './command-line.ts';
import { checkRecordFlags, type RecordFlags, readRecord } from './record-io.ts';
import { openRecordFile, tellRecord } from './record-out.ts';
import { runTrial } from './trial.ts';

interface IdFlags {
  readonly id: string;
}

type StoreFlags = IdFlags & RecordFlags;
type RetrieveFlags = IdFlags & { out?: string };
type DeleteFlags = IdFlags & { mustExist?: boolean };

export function runBeClient(argv: readonly string[]): Promise<ExitCode> {
  const about = 'Keeps opaque bytes at the back end. Alone, it tries all its commands.';
  const client = new ClientProgram('be-client', about, 'beClientConfigs', trial);
  client.add(STORE);
  client.add(RETRIEVE);
  client.add(DELETE);
  return client.run(argv);
}

const STORE: ClientCommand<StoreFlags> = {
  name: 'store',
  about: 'store bytes as they are; prints SUCCESS',
  addFlags(command) {
    command
      .option('--record <text>', 'the bytes (default: standard input)')
      .option('--file <path>', 'the bytes, from a file', given);
  },
  check(flags) {
    checkId(flags);
    checkRecordFlags(flags);
  },
  async run(flags, setting) {
    const record = await readRecord(flags);
    return await withClient(setting, async (client) => {
      const { replaced } = await client.store(flags.id, record);
      await setting.result('SUCCESS', { replaced });
      return EXIT.done;
    });
  },
};

const RETRIEVE: ClientCommand<RetrieveFlags> = {
  name: 'retrieve',
  about: 'write the bytes to standard output',
  addFlags(command) {
    command.option('--out <path>', 'write them to this file', given);
  },
  check: checkId,
  async run(flags, setting) {
    return await withClient(setting, async (client) => {
      const record = await client.retrieve(flags.id);
      const file = flags.out === undefined ? undefined : await openRecordFile(flags.out);
      await tellRecord(record, file, setting, { bytes: record.length });
      return EXIT.done;
    });
  },
};

const DELETE: ClientCommand<DeleteFlags> = {
  name: 'delete',
  about: 'delete the bytes',
  addFlags(command) {
    command.option('--must-exist', 'exit 3 if there was nothing');
  },
  check: checkId,
  async run(flags, setting) {
    return await withClient(setting, async (client) => {
      const existed = await client.delete(flags.id);
      if (flags.mustExist && !existed) {
        throw new EncServerError('NOT_FOUND', 'there was nothing to delete');
      }
      await setting.result('SUCCESS', { existed });
      return EXIT.done;
    });
  },
};

async function trial(setting: ClientSetting): Promise<ExitCode> {
  let revision: Buffer = Buffer.alloc(0);
  return await withClient(setting, (client) =>
    runTrial(setting, {
      store: async (id, record) => {
        ({ revision } = await client.storeIfAbsent(id, record));
      },
      retrieve: async (id) => await client.retrieve(id),
      remove: async (id) => {
        await client.remove(tokenKey(id), ifRevision(revision));
      },
    }),
  );
}

/** Throws `USAGE` or `INVALID_ID`. */
function checkId(flags: IdFlags): void {
  checkUtf8('--id', flags.id, 'other bytes are taken by the client library');
  tokenKey(flags.id);
}

async function withClient<T>(
  setting: ClientSetting,
  use: (client: BeClient) => Promise<T>,
): Promise<T> {
  const { address, token, allowPlaintext, tls, timeoutMs } = setting;
  const client = new BeClient({ address, token, allowPlaintext, tls, timeoutMs });
  try {
    return await use(client);
  } finally {
    client.close();
  }
}
