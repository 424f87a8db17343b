/** Reads the tables and lists out of docs/PROTOCOL.md, so that the document is what is tested. */
import { readFileSync } from 'node:fs';
import { readBlocks } from './vectors.ts';

const NAME = 'PROTOCOL.md';
const ENDED = ' then end';

/** One line of a list: `input -> result`. */
export interface Arrow {
  /** The line as it is written, for the titles of tests. */
  readonly title: string;
  readonly bytes: Buffer;
  /** Whether the input ends behind the bytes. */
  readonly ended: boolean;
  readonly result: string;
}

/** The lines of the fenced block of one kind. One that begins with spaces goes on. */
export function readArrows(kind: string): Arrow[] {
  const block = readBlocks(NAME).find(({ info }) => info === kind);
  if (block === undefined) throw new Error(`docs/${NAME} has no block ${kind}`);
  const lines = block.text.replaceAll(/\n +/g, ' ').split('\n');
  return lines.map((title) => {
    const [input = '', result = ''] = title.split(/ +-> /);
    const ended = input.endsWith(ENDED);
    return { title, bytes: bytesOf(ended ? input.slice(0, -ENDED.length) : input), ended, result };
  });
}

/** A JSON string, or hexadecimal digits. */
function bytesOf(text: string): Buffer {
  if (text.startsWith('"')) return Buffer.from(JSON.parse(text) as string);
  if (!/^([0-9a-f]{2})+$/.test(text)) throw new Error(`not hexadecimal: ${text}`);
  return Buffer.from(text, 'hex');
}

/** Rows of all tables whose header begins with these cells, as cells without backquotes. */
export function readTable(...header: string[]): string[][] {
  const document = readFileSync(new URL(`../../../docs/${NAME}`, import.meta.url), 'utf8');
  const rows: string[][] = [];
  let inside = false;
  for (const line of document.split('\n')) {
    const parts = line.split('|').slice(1, -1);
    const cells = parts.map((cell) => cell.trim().replaceAll('`', ''));
    if (cells.length === 0) inside = false;
    else if (header.every((name, index) => cells[index] === name)) inside = true;
    else if (inside && !cells[0]?.startsWith('---')) rows.push(cells);
  }
  if (rows.length === 0) throw new Error(`docs/${NAME} has no table ${header.join(', ')}`);
  return rows;
}
