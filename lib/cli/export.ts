/** `fe-client export`: retrieves the records of a file of keys into a file of JSON lines. */
import { access, type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { EncServerError, EXIT, type ExitCode, toEncServerError } from '../errors.ts';
import type { BatchRequest, FeClient, Retrieved } from '../fe/client.ts';
import { decodeHexKey } from '../protocol/hex.ts';
import type { ClientSetting } from './client-flags.ts';
import { type LineError, tellErrors } from './import.ts';
import {
  cutTornLine,
  type LineName,
  linesOf,
  type Members,
  measure,
  membersOf,
  nameOf,
  parseLine,
} from './jsonl.ts';
import { openProgress, type Progress } from './progress.ts';
import { fileError, note } from './terminal.ts';

export interface ExportFlags {
  readonly out: string;
}

/** A line of the file of keys. */
interface Asking extends LineName {
  readonly line: number;
  readonly key: Buffer;
}

type Found = { readonly found: Retrieved } | { readonly error: EncServerError };

const ITEMS_MAX = 200;
const TRIES_MAX = 6;
const PAUSE_MS = 250;

export async function exportRecords(
  path: string,
  { out }: ExportFlags,
  setting: ClientSetting,
  client: FeClient,
): Promise<ExitCode> {
  const { lines } = await measure(path);
  const known = await cutToWhole(out);
  const file = await open(out, 'a', 0o600).catch((cause) => {
    throw fileError('cannot write', out, cause);
  });
  const progress = await openProgress();
  const run = new Export(client, file, out, lines, progress, known);
  try {
    await run.all(path);
    await file.sync();
  } catch (error) {
    note('stopped; the same command goes on where it was');
    throw error;
  } finally {
    progress.end();
    await file.close();
  }
  const { exported, errors } = run;
  if (!setting.json) tellErrors(errors);
  const facts = { exported, failed: errors.length, errors };
  await setting.result(`exported ${exported} records, ${errors.length} failed`, facts);
  return errors.length === 0 ? EXIT.done : EXIT.notFound;
}

/** What an attempt before has written, whole lines of it. */
interface Known {
  readonly lastLine: number;
  readonly exported: number;
  readonly errors: LineError[];
}

/** Looks at what is there, and cuts off a line that was not written to its end. */
async function cutToWhole(out: string): Promise<Known> {
  const nothing = { lastLine: 0, exported: 0, errors: [] };
  const isThere = await access(out).then(
    () => true,
    () => false,
  );
  if (!isThere) return nothing;
  for await (const { text } of linesOf(out)) {
    // Whose file it is is known before a byte of it is touched.
    if (typeof membersOrNone(text)['line'] !== 'number') throw notOurs(out);
    break;
  }
  await cutTornLine(out);
  let [lastLine, exported] = [0, 0];
  const errors: LineError[] = [];
  for await (const { text } of linesOf(out)) {
    const { line, error: code, message } = parseLine(text);
    if (typeof line !== 'number') throw notOurs(out);
    lastLine = line;
    if (typeof code === 'string') errors.push({ line, code, message: String(message) });
    else exported++;
  }
  return { lastLine, exported, errors };
}

function membersOrNone(text: string): Members {
  try {
    return parseLine(text);
  } catch {
    return {};
  }
}

function notOurs(out: string): EncServerError {
  const hint = 'name another file with --out';
  return new EncServerError('FILE_ERROR', `${out} is no export of this program`, { hint });
}

class Export {
  readonly #client: FeClient;
  readonly #file: FileHandle;
  readonly #out: string;
  readonly #lines: number;
  readonly #progress: Progress;
  readonly #after: number;
  readonly errors: LineError[];
  exported: number;

  constructor(
    client: FeClient,
    file: FileHandle,
    out: string,
    lines: number,
    progress: Progress,
    known: Known,
  ) {
    this.#client = client;
    this.#file = file;
    this.#out = out;
    this.#lines = lines;
    this.#progress = progress;
    this.#after = known.lastLine;
    this.errors = known.errors;
    this.exported = known.exported;
  }

  async all(path: string): Promise<void> {
    let batch: Asking[] = [];
    for await (const { number, text } of linesOf(path)) {
      if (number <= this.#after) continue;
      const members = parseLine(text);
      // The head of the file, and how far the import was.
      if (members['key'] === undefined) continue;
      const key = decodeHexKey(Buffer.from(String(members['key']), 'latin1'));
      batch.push({ ...nameOf(members), line: number, key });
      if (batch.length < ITEMS_MAX) continue;
      await this.#retrieve(batch);
      batch = [];
    }
    await this.#retrieve(batch);
  }

  async #retrieve(batch: readonly Asking[]): Promise<void> {
    if (batch.length === 0) return;
    const found = new Map<number, Found>();
    let open = batch;
    for (let tries = 1; open.length > 0; tries++) {
      const answers = await this.#client.batch(open.map(requestOf));
      const again: Asking[] = [];
      for (const [index, asking] of open.entries()) {
        const answer = answers[index];
        if (answer?.error === undefined) {
          if (answer?.op === 'retrieve') found.set(asking.line, answer);
        } else if (answer.error.code === 'LARGE') {
          found.set(asking.line, await this.#alone(asking));
        } else if (answer.error.row.retry === 'always' && tries < TRIES_MAX) {
          again.push(asking);
        } else {
          found.set(asking.line, { error: lasting(answer.error) });
        }
      }
      open = again;
      if (open.length > 0) await sleep(PAUSE_MS * tries);
    }
    await this.#write(batch, found);
  }

  /** What is too long for a batch. */
  async #alone({ id, namespace, key }: Asking): Promise<Found> {
    try {
      const call = namespace === undefined ? {} : { namespace };
      return { found: await this.#client.retrieve(id, key, call) };
    } catch (thrown) {
      return { error: lasting(toEncServerError(thrown)) };
    }
  }

  async #write(batch: readonly Asking[], found: ReadonlyMap<number, Found>): Promise<void> {
    const lines: string[] = [];
    for (const asking of batch) {
      const answer = found.get(asking.line);
      if (answer === undefined) continue;
      lines.push(`${JSON.stringify(lineOf(asking, answer))}\n`);
      if ('found' in answer) {
        this.exported++;
      } else {
        const { code, message } = answer.error;
        this.errors.push({ line: asking.line, code, message });
      }
    }
    try {
      await this.#file.appendFile(lines.join(''));
      // What could be read once is nowhere else by now.
      await this.#file.sync();
    } catch (cause) {
      throw fileError('cannot write', this.#out, cause);
    }
    const last = batch.at(-1)?.line ?? 0;
    this.#progress.update(last, Math.max(last, this.#lines));
  }
}

/** What may pass ends the command, which then goes on from here; what lasts is written down. */
function lasting(error: EncServerError): EncServerError {
  if (error.row.retry !== 'never') throw error;
  return error;
}

function requestOf({ id, namespace, key }: Asking): BatchRequest {
  return { op: 'retrieve', id, key, ...(namespace !== undefined && { namespace }) };
}

function lineOf({ line, id, namespace }: Asking, answer: Found) {
  const name = { line, ...membersOf('id', id), ...membersOf('namespace', namespace) };
  if (!('found' in answer)) {
    return { ...name, error: answer.error.code, message: answer.error.message };
  }
  const { record, contentType, expiryMs, once } = answer.found;
  return {
    ...name,
    ...membersOf('record', record),
    ...(contentType !== undefined && { contentType }),
    ...(once && { once }),
    ...(expiryMs !== undefined && { expires: new Date(expiryMs).toISOString() }),
  };
}
