/** Connections to a front end of several workers, and what it says of itself. */
import assert from 'node:assert/strict';
import { type Metric, parsePage } from './exposition.ts';
import { http } from './http.ts';
import { Wire } from './wire.ts';

/** What a worker says of itself. */
export interface WorkerInfo {
  readonly ok: boolean;
  readonly pid: number;
  readonly worker: number;
  readonly workers: number;
  readonly connections: number;
}

export interface WorkerWire {
  readonly wire: Wire;
  readonly info: WorkerInfo;
}

export async function infoOf(wire: Wire): Promise<WorkerInfo> {
  wire.send('INFO\n');
  return JSON.parse(await wire.line()) as WorkerInfo;
}

/** More than it takes, where the connections of a test before have not ended everywhere yet. */
const TRIES_MAX = 20;

/**
 * One connection to each worker, by their numbers. Each is given to the worker that has the
 * fewest, so that with all of them open every worker gets one.
 */
export async function wiresToAll(port: number, workers: number): Promise<WorkerWire[]> {
  const found = new Map<number, WorkerWire>();
  const others: Wire[] = [];
  for (let tries = 0; found.size < workers && tries < TRIES_MAX; tries++) {
    const wire = await Wire.open(port);
    const info = await infoOf(wire);
    if (found.has(info.worker)) others.push(wire);
    else found.set(info.worker, { wire, info });
  }
  for (const wire of others) wire.close();
  const numbers = [...found.keys()].sort((a, b) => a - b);
  assert.deepEqual(
    numbers,
    Array.from({ length: workers }, (_none, index) => index + 1),
  );
  return numbers.map((number) => found.get(number) as WorkerWire);
}

/** The page of metrics, from the worker that has the fewest connections. */
export async function metricsOf(port: number): Promise<Map<string, Metric>> {
  const { status, body } = await http(port, 'GET', '/metrics');
  assert.equal(status, 200, body.toString());
  return parsePage(body.toString());
}

/** The value of one sample, by its labels joined with spaces. */
export function sampleIn(page: Map<string, Metric>, name: string, labels = ''): number | undefined {
  const samples = page.get(`enc_server_${name}`)?.samples ?? [];
  return samples.find((sample) => [...sample.labels.values()].join(' ') === labels)?.value;
}
