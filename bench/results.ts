/** A run of the benchmark as a file, which `make bench` writes and `compare` reads. */
import { readFileSync } from 'node:fs';
import type { Ceilings } from './ceilings.ts';
import type { Resources } from './resources.ts';

/** The format of the file; another one cannot be compared. */
export const FORMAT = 1;

/** One row of the table: the median of its rounds. */
export interface Row {
  readonly server: string;
  readonly operation: string;
  /** Size of a record. */
  readonly bytes: number;
  readonly connections: number;
  /** Callers on each connection. */
  readonly depth: number;
  /** What is done before a write is answered. */
  readonly durable: string;
  readonly perSecond: number;
  readonly least: number;
  readonly most: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  /** Processor time of each process per operation, in microseconds. */
  readonly cpu: Readonly<Record<string, number>>;
}

export interface Results {
  readonly format: typeof FORMAT;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly ceilings: {
    readonly kib: Ceilings;
    readonly mib: Ceilings;
    /** Synced batches of 64: writes per second. */
    readonly storePerSecond: number;
    /** One synced write (median). */
    readonly writeMicros: number;
  };
  readonly rows: readonly Row[];
  /** Servers that are not installed, and so have no rows. */
  readonly absent: readonly string[];
  readonly resources: Resources | undefined;
  readonly rounds: number;
  readonly seconds: number;
}

/** @throws Error with a message for whoever named the file */
export function readResults(path: string): Results {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new Error(`${path} cannot be read as results: ${(cause as Error).message}`, { cause });
  }
  const results = parsed as Partial<Results> | null;
  if (results?.format !== FORMAT || !Array.isArray(results.rows)) {
    throw new Error(`${path} holds no results of format ${FORMAT}; make them anew with make bench`);
  }
  return results as Results;
}

/** Identifies a row across runs. */
export function labelOf({ server, operation, bytes, connections, depth }: Row): string {
  const callers = depth === 1 ? `${connections}` : `${connections} x ${depth}`;
  return `${server}, ${operation}, ${bytes} B, ${callers} callers`;
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
