/** The inputs in `test/fuzz/corpus`: hexadecimal digits, `#` begins a remark. */
import { readdirSync, readFileSync } from 'node:fs';

const FOLDER = new URL('../../../test/fuzz/corpus/', import.meta.url);

export function readCorpus(): Buffer[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.hex'))
    .map((name) => {
      const text = readFileSync(new URL(name, FOLDER), 'utf8').replaceAll(/#.*$/gm, '');
      const digits = text.replaceAll(/\s/g, '');
      if (!/^(?:[0-9a-f]{2})*$/.test(digits)) throw new Error(`${name} is not hexadecimal`);
      return Buffer.from(digits, 'hex');
    });
}
