/** `fe-client export`: retrieves the records of a file of keys into a file of JSON lines. */
import { type EncServerError, type ExitCode, toEncServerError } from '../errors.ts';
import type { BatchRequest, FeClient, Retrieved } from '../fe/client.ts';
import { expiryText } from '../protocol/expiry.ts';
import { decodeHexKey } from '../protocol/hex.ts';
import type { ClientSetting } from './client-flags.ts';
import { ExportFile } from './export-file.ts';
import { sendBatch } from './fe-calls.ts';
import {
  type LineName,
  linesOf,
  type Members,
  measure,
  membersOf,
  nameOf,
  parseLine,
} from './jsonl.ts';
import { openProgress, type Progress } from './progress.ts';
import { Superseded } from './superseded.ts';
import { note } from './terminal.ts';

export interface ExportFlags {
  readonly out: string;
}

/** A line of the file of keys. */
interface Asking extends LineName {
  readonly line: number;
  readonly key: Buffer;
  readonly reader: Buffer;
}

type Found = { readonly found: Retrieved } | { readonly error: EncServerError };

const ITEMS_MAX = 200;

export async function exportRecords(
  path: string,
  { out }: ExportFlags,
  setting: ClientSetting,
  client: FeClient,
): Promise<ExitCode> {
  const { lines } = await measure(path);
  const file = await ExportFile.open(out, path);
  const progress = await openProgress();
  try {
    await new Export(client, file, lines, progress).all(path);
  } catch (error) {
    note('stopped; the same command goes on where it was');
    throw error;
  } finally {
    progress.end();
    await file.close();
  }
  const { exported, errors } = file;
  if (!setting.json) errors.tell();
  const facts = { exported, failed: errors.count, errors: errors.kept };
  await setting.result(`exported ${exported} records, ${errors.count} failed`, facts);
  return errors.exit;
}

class Export {
  readonly #client: FeClient;
  readonly #file: ExportFile;
  readonly #lines: number;
  readonly #progress: Progress;

  constructor(client: FeClient, file: ExportFile, lines: number, progress: Progress) {
    this.#client = client;
    this.#file = file;
    this.#lines = lines;
    this.#progress = progress;
  }

  async all(path: string): Promise<void> {
    const superseded = await Superseded.read(path);
    let batch: Asking[] = [];
    for await (const { number, text } of linesOf(path)) {
      if (!this.#file.isOpen(number)) continue;
      const members = this.#membersOf(number, text);
      // The head of the file, or a mark of the import's progress.
      if (members['key'] === undefined) continue;
      const name = nameOf(members);
      if (superseded.has(name, members['line'])) continue;
      const key = decodeHexKey(Buffer.from(String(members['key']), 'latin1'));
      batch.push({ ...name, line: number, key, reader: this.#file.readerOf(key) });
      if (batch.length < ITEMS_MAX) continue;
      await this.#export(batch);
      batch = [];
    }
    await this.#export(batch);
  }

  /** A key that was not written completely was never used. */
  #membersOf(number: number, text: string | undefined): Members {
    try {
      return parseLine(text);
    } catch (error) {
      if (number > this.#lines) return {};
      throw error;
    }
  }

  /** Whatever was read is put on disk first: it may have been the last chance to read it. */
  async #export(batch: readonly Asking[]): Promise<void> {
    if (batch.length === 0) return;
    const found = new Map<number, Found>();
    try {
      await this.#retrieve(batch, found);
    } finally {
      await this.#write(batch, found);
    }
    const passing = [...found.values()].find(isPassing);
    if (passing !== undefined) throw passing.error;
  }

  async #retrieve(batch: readonly Asking[], found: Map<number, Found>): Promise<void> {
    await sendBatch(this.#client, batch, requestOf, async (asking, answer) => {
      const { line } = asking;
      if (answer.error?.code === 'LARGE') found.set(line, await this.#alone(asking));
      else if (answer.error !== undefined) found.set(line, { error: answer.error });
      else if (answer.op === 'retrieve') found.set(line, answer);
    });
  }

  /** Retrieves a record that is too long for a batch. */
  async #alone({ id, namespace, key, reader }: Asking): Promise<Found> {
    try {
      const call = { reader, ...(namespace !== undefined && { namespace }) };
      return { found: await this.#client.retrieve(id, key, call) };
    } catch (thrown) {
      return { error: toEncServerError(thrown) };
    }
  }

  async #write(batch: readonly Asking[], found: ReadonlyMap<number, Found>): Promise<void> {
    const lines: Members[] = [];
    for (const asking of batch) {
      const answer = found.get(asking.line);
      if (answer !== undefined) lines.push(lineOf(asking, answer));
    }
    if (lines.length > 0) await this.#file.append(lines);
    const last = this.#file.lastLine;
    this.#progress.update(last, Math.max(last, this.#lines));
  }
}

/** Such an error ends the command, which retries the line when it is continued. */
function isPassing(answer: Found): answer is { readonly error: EncServerError } {
  return 'error' in answer && answer.error.row.retry !== 'never';
}

function requestOf({ id, namespace, key, reader }: Asking): BatchRequest {
  return { op: 'retrieve', id, key, reader, ...(namespace !== undefined && { namespace }) };
}

function lineOf({ line, id, namespace }: Asking, answer: Found): Members {
  const name = { line, ...membersOf('id', id), ...membersOf('namespace', namespace) };
  if ('error' in answer) {
    const { code, message } = answer.error;
    return { ...name, error: code, message, ...(isPassing(answer) && { again: true }) };
  }
  const { record, contentType, expiryMs, once } = answer.found;
  return {
    ...name,
    ...membersOf('record', record),
    ...(contentType !== undefined && { contentType }),
    ...(once && { once }),
    ...(expiryMs !== undefined && { expires: expiryText(expiryMs) }),
  };
}
