/** `node compare.js OLD.json NEW.json`: prints the comparison of two runs. */
import { compare } from './comparison.ts';
import { readResults } from './results.ts';

const [oldPath, newPath] = process.argv.slice(2);
try {
  if (oldPath === undefined || newPath === undefined) {
    throw new Error('write: compare.js OLD.json NEW.json');
  }
  for (const line of compare(readResults(oldPath), readResults(newPath)))
    process.stdout.write(`${line}\n`);
} catch (thrown) {
  process.stderr.write(`compare: ${(thrown as Error).message}\n`);
  process.exitCode = 1;
}
