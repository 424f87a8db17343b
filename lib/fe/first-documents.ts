/**
 * Which of several documents with one name counts. The family's servers wrote a document for each
 * STORE under another key or by another program, and the sealed IDs of one user differ there: so
 * only the opened names tell. Of each first document a digest is kept, not the document.
 */
import { createHash } from 'node:crypto';
import type { RecordName } from '../crypto/envelope.ts';
import type { FamilyEntry } from './family-records.ts';

/** Of SHA-256, in bytes: nobody finds two inputs by chance. */
const DIGEST_BYTES = 16;
/** Several maps, because one takes no more than 16 million entries. */
const MAPS = 256;

export class FirstDocuments {
  /** Digests of documents by digests of names: short strings take half the memory of buffers. */
  readonly #digests = Array.from({ length: MAPS }, () => new Map<string, string>());

  /**
   * Whether it is the first document with its name that was shown here, or the same once more. Show
   * them by ascending `_id`, and only what could be read.
   */
  isFirst({ namespace, id }: RecordName, entry: FamilyEntry): boolean {
    const name = digestOf(namespace.toString('hex'), id.toString('hex'));
    const digest = digestOf(String(entry.id), String(entry.record));
    const digests = this.#digests[name.charCodeAt(0)] as Map<string, string>;
    const first = digests.get(name);
    if (first === undefined) digests.set(name, digest);
    return first === undefined || first === digest;
  }
}

/** Of two strings of hexadecimal digits, in capitals or not. */
function digestOf(first: string, second: string): string {
  const hash = createHash('sha256').update(`${first.length} `);
  const digest = hash.update(first, 'hex').update(second, 'hex').digest();
  return digest.toString('latin1', 0, DIGEST_BYTES);
}
