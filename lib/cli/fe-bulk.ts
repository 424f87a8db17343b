/** `fe-client list`, `import` and `export`: many records at once. */
import { EXIT, type ExitCode } from '../errors.ts';
import { encodePercent } from '../protocol/percent.ts';
import type { ClientCommand, ClientSetting } from './client-flags.ts';
import { given } from './command-line.ts';
import type { ExportFlags } from './export.ts';
import {
  addNamespaceFlag,
  checkNameFlags,
  type NameFlags,
  namespaceOf,
  withClient,
} from './fe-calls.ts';
import type { ImportFlags } from './import.ts';
import { isTaken } from './terminal.ts';

type ListFlags = Pick<NameFlags, 'namespace'>;

export const LIST: ClientCommand<ListFlags> = {
  name: 'list',
  about: 'print the IDs of a namespace, percent-encoded, unordered; needs the scope admin',
  takes: 'nothing',
  addFlags: addNamespaceFlag,
  check: (flags) => checkNameFlags({ ...flags, id: 'none' }),
  run: list,
};

export const IMPORT: ClientCommand<ImportFlags> = {
  name: 'import',
  about: 'store the records of a file of JSON lines; run it again after a failure to go on',
  takes: { argument: '<file>', about: 'lines such as {"id": "alice", "record": "hello"}' },
  addFlags(command) {
    command.requiredOption(
      '--keys-out <path>',
      'the file of the keys; made if it is missing, gone on with if it is there',
      given,
    );
  },
  check: () => undefined,
  async run(flags, setting, path) {
    const { importRecords } = await import('./import.ts');
    return await withClient(setting, (client) => importRecords(path, flags, setting, client));
  },
};

export const EXPORT: ClientCommand<ExportFlags> = {
  name: 'export',
  about: 'retrieve the records of a file of keys; run it again after a failure to go on',
  takes: { argument: '<keys>', about: 'the file of keys that an import wrote' },
  addFlags(command) {
    command.requiredOption('--out <path>', 'the file of the records (JSON lines)', given);
  },
  check: () => undefined,
  async run(flags, setting, path) {
    const { exportRecords } = await import('./export.ts');
    return await withClient(setting, (client) => exportRecords(path, flags, setting, client));
  },
};

async function list(flags: ListFlags, setting: ClientSetting): Promise<ExitCode> {
  return await withClient(setting, async (client) => {
    let after: Buffer | undefined;
    do {
      const page = await client.list({ after }, namespaceOf(flags));
      const lines = page.ids.map((id) =>
        setting.json ? JSON.stringify({ id64: id.toString('base64') }) : encodePercent(id),
      );
      if (lines.length > 0 && !(await isTaken(`${lines.join('\n')}\n`))) break;
      after = page.next;
    } while (after !== undefined);
    return EXIT.done;
  });
}
