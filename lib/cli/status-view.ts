/** The output of `enc-server status`: a table, a line for a log, or JSON. */
import { formatSize } from '../config/quantity.ts';
import { type EncServerError, EXIT } from '../errors.ts';
import { table } from './table.ts';

type Facts = Readonly<Record<string, unknown>>;

/** What one server reported of itself, or why it did not. */
export interface Look {
  readonly server: 'fe' | 'be';
  readonly address: string;
  readonly facts: Facts | undefined;
  readonly error: EncServerError | undefined;
  /** When it was answered, on the clock of `performance.now()`. */
  readonly atMs: number;
}

const HEADINGS = [
  'SERVER',
  'STATE',
  'VERSION',
  'UPTIME',
  'CONNS',
  'UNDER WAY',
  'REQ/S',
  'IN FLIGHT',
  'KEYRING',
  'EPOCH',
  'STORE',
];
/** Characters of a keyring's ID that are shown: enough to tell two apart. */
const KEYRING_SHOWN = 8;
const MIB = 1024 ** 2;

/** Whether a server is healthy. */
export function isWell({ facts }: Look): boolean {
  return facts?.['ok'] === true;
}

/** For people: a row for each server, and problems in words. */
export function tableOf(looks: readonly Look[], before: readonly Look[]): string {
  const rows = looks.map((look) => rowOf(look, lookBefore(look, before)));
  const words = looks.flatMap((look) => {
    const reason = reasonOf(look);
    return reason === undefined ? [] : [`${look.server}: ${reason}\n`];
  });
  return table(HEADINGS, rows) + words.join('');
}

/** For logs: both servers in one line. `now` is in milliseconds since 1970. */
export function lineOf(looks: readonly Look[], before: readonly Look[], now: number): string {
  const parts = looks.map((look) => {
    const { server, facts } = look;
    const reason = reasonOf(look);
    const state = reason === undefined ? stateOf(look) : `${stateOf(look)} (${reason})`;
    if (facts === undefined) return `${server} ${state}`;
    const rate = rateOf(look, lookBefore(look, before));
    const perSecond = rate === undefined ? '' : `, ${rate.toFixed(0)} requests/s`;
    const counts = `${text(facts['requestsUnderWay'])} under way${perSecond}`;
    return `${server} ${state}, ${counts}, ${text(facts['connections'])} connections`;
  });
  return `${new Date(now).toISOString()} ${parts.join('; ')}\n`;
}

/** For programs: a JSON array in one line, the facts as the servers gave them. */
export function jsonOf(looks: readonly Look[], before: readonly Look[]): string {
  const shown = looks.map((look) => {
    const { server, address, facts, error } = look;
    const requestsPerSecond = rateOf(look, lookBefore(look, before));
    if (error === undefined) return { ...facts, server, address, requestsPerSecond };
    return { server, address, ok: false, code: error.code, reason: error.message };
  });
  return `${JSON.stringify(shown)}\n`;
}

function rowOf(look: Look, before: Look | undefined): string[] {
  const { server, address, facts } = look;
  const name = `${server} ${address}`;
  if (facts === undefined) return [name, stateOf(look)];
  const { worker, workers } = facts;
  return [
    worker === undefined ? name : `${name} (worker ${text(worker)} of ${text(workers)})`,
    stateOf(look),
    text(facts['version']),
    ageOf(count(facts['uptimeMs'])),
    text(facts['connections']),
    text(facts['requestsUnderWay']),
    rateOf(look, before)?.toFixed(0) ?? '-',
    `${(count(facts['bytesInFlight']) / MIB).toFixed(1)} MiB`,
    text(facts['keyring']).slice(0, KEYRING_SHOWN),
    text(facts['epoch']),
    storeOf(facts['store']),
  ];
}

function stateOf(look: Look): string {
  if (look.facts !== undefined) return isWell(look) ? 'ok' : 'not ready';
  return look.error?.row.exit === EXIT.notAllowed ? 'refuses' : 'down';
}

/** What is to be told of a server besides its figures; undefined if there is nothing. */
function reasonOf(look: Look): string | undefined {
  const words = auditWordsOf(look.facts?.['audit']);
  if (!isWell(look)) words.unshift(text(look.error?.describe() ?? look.facts?.['reason']));
  return words.length === 0 ? undefined : words.join('; ');
}

/** A server that goes on without its audit log is well, and somebody has to know all the same. */
function auditWordsOf(audit: unknown): string[] {
  if (typeof audit !== 'object' || audit === null) return [];
  const { failing, lostLines, checkpointsFailed } = audit as Facts;
  const words = failing === true ? ['the audit log cannot be written'] : [];
  const [lost, failed] = [count(lostLines), count(checkpointsFailed)];
  if (lost > 0) words.push(`lines of the audit log that are lost: ${lost}`);
  if (failed > 0) words.push(`checkpoints of the audit log that could not be written: ${failed}`);
  return words;
}

function lookBefore({ server }: Look, before: readonly Look[]): Look | undefined {
  return before.find((look) => look.server === server);
}

/** Requests per second since the previous look; undefined if unknown. */
function rateOf(now: Look, before: Look | undefined): number | undefined {
  if (now.facts === undefined || before?.facts === undefined) return undefined;
  // Another process has counters of its own.
  if (now.facts['pid'] !== before.facts['pid']) return undefined;
  const requests = count(now.facts['requests']) - count(before.facts['requests']);
  const seconds = (now.atMs - before.atMs) / 1_000;
  // It was restarted in between, and counts from zero.
  if (requests < 0 || seconds <= 0) return undefined;
  return Math.round((requests / seconds) * 10) / 10;
}

function storeOf(store: unknown): string {
  if (typeof store !== 'object' || store === null) return '';
  const { kind, records, bytes, place } = store as Facts;
  const where = place === '' || place === undefined ? '' : `, ${text(place)}`;
  return `${text(kind)}, about ${text(records)} records, ${sizeOf(count(bytes))}${where}`;
}

/** With one decimal, in a suitable unit. */
function sizeOf(bytes: number): string {
  if (bytes < 1024) return formatSize(bytes);
  const unit = bytes < MIB ? 'KiB' : bytes < 1024 * MIB ? 'MiB' : 'GiB';
  const unitBytes = { KiB: 1024, MiB: MIB, GiB: 1024 * MIB }[unit];
  return `${(bytes / unitBytes).toFixed(1)} ${unit}`;
}

/** In its two largest units: `3 d 4 h`, `2 m 10 s`, `12 s`. */
function ageOf(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  const [minutes, hours, days] = [60, 3_600, 86_400].map((size) => Math.floor(seconds / size));
  if (days) return `${days} d ${(hours ?? 0) % 24} h`;
  if (hours) return `${hours} h ${(minutes ?? 0) % 60} m`;
  return minutes ? `${minutes} m ${seconds % 60} s` : `${seconds} s`;
}

function count(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

/** A server's answer may contain anything, and a terminal obeys control characters. */
function text(value: unknown): string {
  return value === undefined || value === null ? '-' : String(value).replace(/\p{C}/gu, '?');
}
