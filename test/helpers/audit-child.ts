/** A program that writes lines to an audit log, and says each on standard output once it may. */
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { askedFor, auditFilesIn, openLog } from './audit.ts';

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder = '', lines = '0'] = process.argv.slice(2);
  const audit = await openLog(auditFilesIn(folder));
  // The first line is the log's own.
  for (let number = 1; number <= Number(lines); number++) {
    await audit.around(askedFor(`record ${number}`), async () => undefined);
    writeSync(1, `ack ${number}\n`);
  }
  await audit.close();
}
