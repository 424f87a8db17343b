/** `fe-client import`: stores the records of a file of JSON lines, many in a request. */
import { EncServerError, type ExitCode } from '../errors.ts';
import { type BatchAnswer, type BatchRequest, drawKey, type FeClient } from '../fe/client.ts';
import type { ClientSetting } from './client-flags.ts';
import { EXPORT_FORMAT } from './export-file.ts';
import { sendBatch } from './fe-calls.ts';
import {
  broken,
  bytesOf,
  type LineName,
  labelOf,
  linesOf,
  type Members,
  measure,
  nameOf,
  parseLine,
} from './jsonl.ts';
import { KeyLines } from './key-lines.ts';
import { LineErrors } from './line-errors.ts';
import { openProgress, type Progress } from './progress.ts';
import { note } from './terminal.ts';

export interface ImportFlags {
  readonly keysOut: string;
}

type StoreRequest = BatchRequest & { readonly op: 'store' };

/** A line that must be sent. */
interface Sending extends LineName {
  readonly line: number;
  readonly request: StoreRequest;
  /** Whether its key is already in the file of the keys. */
  readonly isKnown: boolean;
}

/** What a line may have; `line` stands in those of an export. */
const MEMBERS: ReadonlySet<string> = new Set([
  ...['id', 'id64', 'record', 'record64', 'namespace', 'namespace64'],
  ...['contentType', 'expires', 'once', 'line'],
]);
const ITEMS_MAX = 500;
const BYTES_MAX = 4 * 1024 * 1024;

export async function importRecords(
  path: string,
  { keysOut }: ImportFlags,
  setting: ClientSetting,
  client: FeClient,
): Promise<ExitCode> {
  const { digest, lines } = await measure(path);
  const keys = await KeyLines.open(keysOut, digest);
  const progress = await openProgress();
  const run = new Import(client, keys, lines, progress);
  try {
    await run.all(path);
  } catch (error) {
    note('stopped; the same command goes on where it was');
    throw error;
  } finally {
    progress.end();
    await keys.close();
  }
  const { stored, errors } = run;
  const facts = { stored, failed: errors.count, errors: errors.kept };
  if (!setting.json) errors.tell();
  await setting.result(`stored ${stored} records, ${errors.count} failed`, facts);
  return errors.exit;
}

class Import {
  readonly #client: FeClient;
  readonly #keys: KeyLines;
  readonly #lines: number;
  readonly #progress: Progress;
  readonly errors = new LineErrors();
  stored = 0;
  #batch: Sending[] = [];
  readonly #names = new Set<string>();
  #bytes = 0;
  #lastLine: number;

  constructor(client: FeClient, keys: KeyLines, lines: number, progress: Progress) {
    this.#client = client;
    this.#keys = keys;
    this.#lines = lines;
    this.#progress = progress;
    this.#lastLine = keys.doneLine;
  }

  async all(path: string): Promise<void> {
    const { doneLine } = this.#keys;
    const failed = new Set(this.#keys.failed);
    for await (const { number, text } of linesOf(path)) {
      if (number <= doneLine && !failed.has(number)) continue;
      await this.#take(number, text);
      this.#lastLine = Math.max(this.#lastLine, number);
    }
    await this.#send();
  }

  async #take(line: number, text: string | undefined): Promise<void> {
    const known = this.#keys.keys.get(line);
    let sending: Sending | undefined;
    try {
      sending = sendingOf(line, text, known);
    } catch (error) {
      if (!(error instanceof EncServerError)) throw error;
      this.#fail(line, error);
      await this.#keys.markDone(this.#keys.doneLine, [line], []);
    }
    if (sending !== undefined) await this.#add(sending);
  }

  async #add(sending: Sending): Promise<void> {
    const { request } = sending;
    const bytes = request.record.length + sending.id.length;
    const isFull = this.#batch.length === ITEMS_MAX || this.#bytes + bytes > BYTES_MAX;
    // The items of a batch are executed in no particular order, but of two records with one name,
    // the later one must win.
    const label = labelOf(sending);
    if (isFull || this.#names.has(label)) await this.#send();
    this.#names.add(label);
    this.#batch.push(sending);
    this.#bytes += bytes;
  }

  /** The keys are on disk before the records are sent. */
  async #send(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#names.clear();
    this.#bytes = 0;
    const fresh = batch.filter(({ isKnown }) => !isKnown);
    await this.#keys.add(
      fresh.map(({ line, id, namespace, request }) => ({
        line,
        id,
        namespace,
        key: request.key as Buffer,
      })),
    );
    const failed = await this.#store(batch);
    const lines = batch.map(({ line }) => line);
    for (const line of lines) if (!failed.includes(line)) this.stored++;
    const last = Math.max(this.#keys.doneLine, this.#lastLine);
    await this.#keys.markDone(
      last,
      failed,
      lines.filter((line) => !failed.includes(line)),
    );
    this.#progress.update(last, Math.max(this.#lines, last));
  }

  /** Resolves to the lines that failed. */
  async #store(batch: readonly Sending[]): Promise<number[]> {
    const failed: number[] = [];
    const done = async ({ line }: Sending, { error }: BatchAnswer) => {
      if (error === undefined) return;
      failed.push(line);
      this.#fail(line, error);
    };
    await sendBatch(this.#client, batch, ({ request }) => request, done);
    return failed;
  }

  #fail(line: number, { code, message }: EncServerError): void {
    this.errors.add({ line, code, message });
  }
}

/** Undefined for the first line of an export's file. Throws what is wrong with a line. */
function sendingOf(
  line: number,
  text: string | undefined,
  known: Buffer | undefined,
): Sending | undefined {
  const members = parseLine(text);
  if (members['format'] === EXPORT_FORMAT) return undefined;
  const name = nameOf(members);
  const request = requestOf(members, name, known ?? drawKey());
  return { ...name, line, request, isKnown: known !== undefined };
}

function requestOf(members: Members, { id, namespace }: LineName, key: Buffer): StoreRequest {
  const record = bytesOf(members, 'record');
  if (record === undefined) throw broken('the line has no record');
  checkMembers(members);
  const { contentType, expires, once = false } = members;
  const expiryMs = expires === undefined ? undefined : Date.parse(String(expires));
  const isTyped = contentType === undefined || typeof contentType === 'string';
  if (!isTyped || typeof once !== 'boolean') throw broken('contentType or once is malformed');
  if (expiryMs !== undefined && !(expiryMs > 0)) throw broken('expires is no time (RFC 3339)');
  return {
    op: 'store',
    id,
    record,
    key,
    once,
    ...(namespace !== undefined && { namespace }),
    ...(contentType !== undefined && { contentType }),
    ...(expiryMs !== undefined && { expiryMs }),
  };
}

/**
 * A record whose end is misspelt would be kept for ever. Throws `UNKNOWN_FIELD` with a message that
 * quotes nothing.
 */
function checkMembers(members: Members): void {
  if (Object.keys(members).every((name) => MEMBERS.has(name))) return;
  throw new EncServerError('UNKNOWN_FIELD', 'the line has a member that is not known', {
    hint: 'beside id and record, a line may have namespace, contentType, expires and once',
  });
}
