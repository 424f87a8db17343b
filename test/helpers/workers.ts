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

/** One connection to each worker, by their numbers; each is given to the one that has the fewest. */
export async function wiresToAll(port: number, workers: number): Promise<WorkerWire[]> {
  const found: WorkerWire[] = [];
  for (let index = 0; index < workers; index++) {
    const wire = await Wire.open(port);
    found.push({ wire, info: await infoOf(wire) });
  }
  const byNumber = found.toSorted((a, b) => a.info.worker - b.info.worker);
  const numbers = byNumber.map(({ info }) => info.worker);
  assert.deepEqual(
    numbers,
    Array.from({ length: workers }, (_none, index) => index + 1),
  );
  return byNumber;
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
