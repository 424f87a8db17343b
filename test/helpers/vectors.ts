/**
 * Takes test vectors out of a Markdown document, so that what the document says is what is
 * tested. A vector is a fenced block whose info string is `vector` and its kind:
 *
 *     ```vector envelope
 *     name: empty record
 *     record:
 *     body: a2a8 00*16
 *     ```
 */

import { readFileSync } from 'node:fs';

/** A fenced block of a document. */
export interface Block {
  /** What follows the opening fence, such as `json` or `vector envelope`. */
  readonly info: string;
  /** Line number of the opening fence, from 1. */
  readonly line: number;
  readonly text: string;
}

/** All fenced blocks of `docs/<name>`, in their order. */
export function readBlocks(name: string): Block[] {
  // From dist*/test/helpers/.
  return blocksOf(readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8'));
}

/** The vectors of one kind in `docs/<name>`. Throws if there is none, so that no test is empty. */
export function readVectors(name: string, kind: string): Vector[] {
  const vectors = readBlocks(name)
    .filter((block) => block.info === `vector ${kind}`)
    .map((block) => new Vector(block));
  if (vectors.length === 0) throw new Error(`docs/${name} has no vectors of kind ${kind}`);
  return vectors;
}

/** All fenced blocks of a Markdown text. Throws if one is not closed. */
export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  const lines = markdown.split('\n');
  for (let at = 0; at < lines.length; at++) {
    const start = lines[at] ?? '';
    if (!start.startsWith('```')) continue;
    const end = lines.indexOf('```', at + 1);
    if (end < 0) throw new Error(`the block at line ${at + 1} is not closed`);
    const text = lines.slice(at + 1, end).join('\n');
    blocks.push({ info: start.slice(3).trim(), line: at + 1, text });
    at = end;
  }
  return blocks;
}

/** One vector: fields by name. Each reader throws where the field is missing or malformed. */
export class Vector {
  readonly #fields = new Map<string, string>();
  readonly #line: number;

  constructor(block: Block) {
    this.#line = block.line;
    for (const line of block.text.split('\n')) {
      const [, field, value] = /^([a-z0-9-]+):(?: (.*))?$/.exec(line) ?? [];
      if (field === undefined || this.#fields.has(field)) throw this.#error(`bad line: ${line}`);
      this.#fields.set(field, value ?? '');
    }
  }

  /** Name and place, for the title of a test. */
  get title(): string {
    return `${this.text('name')} (line ${this.#line})`;
  }

  has(field: string): boolean {
    return this.#fields.has(field);
  }

  text(field: string): string {
    const value = this.#fields.get(field);
    if (value === undefined) throw this.#error(`no field ${field}`);
    return value;
  }

  number(field: string): number {
    const text = this.text(field);
    if (!/^\d+$/.test(text)) throw this.#error(`${field} is no decimal number`);
    return Number(text);
  }

  /** Hexadecimal parts, divided by spaces; `61*3` is `616161`. */
  bytes(field: string): Buffer {
    const parts = this.text(field).split(' ').filter(Boolean);
    return Buffer.concat(parts.map((part) => this.#partBytes(field, part)));
  }

  #partBytes(field: string, part: string): Buffer {
    const [, hex, count] = /^((?:[0-9a-f]{2})+)(?:\*(\d+))?$/.exec(part) ?? [];
    if (hex === undefined) throw this.#error(`${field} is not hexadecimal`);
    return Buffer.from(hex.repeat(Number(count ?? 1)), 'hex');
  }

  #error(message: string): Error {
    return new Error(`vector at line ${this.#line}: ${message}`);
  }
}
