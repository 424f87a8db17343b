/** The requests of one server: how many are under way, and how the others ended. */
import { EncServerError, type ErrorCode } from '../errors.ts';
import { type Family, Histogram, SECONDS_BOUNDS, single } from '../metrics.ts';
import type { Dialect } from '../protocol/detect.ts';

/** What requests come in; HTTP/2 is spoken for gRPC alone. */
export type Spoken = Exclude<Dialect, 'http2' | 'tls' | 'unknown'> | 'grpc';

/** The kinds of requests; a closed list, whatever a request says. */
export const OPERATIONS = [
  'hello',
  'ping',
  'info',
  'help',
  'auth',
  'store',
  'retrieve',
  'delete',
  'peek',
  'rekey',
  'list',
  'batch',
  'put',
  'get',
  'head',
  'remove',
  'scan',
  'other',
] as const;

export type Operation = (typeof OPERATIONS)[number];

const KNOWN: ReadonlySet<string> = new Set(OPERATIONS);

/** The operation of a name such as `STORE`, `STORE64` or `store`. */
export function operationOf(name: string | undefined): Operation {
  const word = name?.toLowerCase().replace(/64$/, '') ?? '';
  return KNOWN.has(word) ? (word as Operation) : 'other';
}

/** The counters of one operation in one dialect. */
interface Row {
  readonly dialect: Spoken;
  readonly operation: Operation;
  readonly seconds: Histogram;
  readonly outcomes: Map<Outcome, number>;
}

export type Outcome = 'ok' | ErrorCode;

export class Traffic {
  readonly #requestsMax: number;
  readonly #rows = new Map<Spoken, Map<Operation, Row>>();
  #underWay = 0;
  #total = 0;

  constructor(requestsMax: number) {
    this.#requestsMax = requestsMax;
  }

  get underWay(): number {
    return this.#underWay;
  }

  /** Requests that were answered since the start. */
  get total(): number {
    return this.#total;
  }

  /**
   * Lets a request in; every request that is let in must be ended. Probes and metrics are not
   * bounded: they are needed most when there is too much of everything else.
   *
   * @throws EncServerError `OVERLOADED`
   */
  begin(isBounded = true): void {
    if (isBounded && this.#underWay >= this.#requestsMax) {
      const hint = 'try again more slowly; requestsMax bounds what the whole server does at once';
      throw new EncServerError('OVERLOADED', 'too many requests are under way', { hint });
    }
    this.#underWay++;
  }

  end(): void {
    this.#underWay--;
  }

  /** Counts a request, whether or not it was let in. `sinceMs` is from `performance.now()`. */
  note(dialect: Spoken, operation: Operation, outcome: Outcome, sinceMs: number): void {
    this.#total++;
    const row = this.#rows.get(dialect)?.get(operation) ?? this.#add(dialect, operation);
    row.seconds.observe((performance.now() - sinceMs) / 1_000);
    row.outcomes.set(outcome, (row.outcomes.get(outcome) ?? 0) + 1);
  }

  families(): Family[] {
    const rows = [...this.#rows.values()].flatMap((byOperation) => [...byOperation.values()]);
    return [
      {
        type: 'counter',
        name: 'enc_server_requests_total',
        help: 'Requests by dialect, operation and outcome: ok, or the code of the error.',
        values: rows.flatMap(({ dialect, operation, outcomes }) =>
          [...outcomes].map(([outcome, value]) => ({
            labels: { dialect, operation, outcome },
            value,
          })),
        ),
      },
      {
        type: 'histogram',
        name: 'enc_server_request_seconds',
        help: 'Time from a whole request to its answer.',
        values: rows.map(({ dialect, operation, seconds }) => ({
          labels: { dialect, operation },
          histogram: seconds,
        })),
      },
      single(
        'gauge',
        'enc_server_requests_under_way',
        'Requests that are not answered yet.',
        this.#underWay,
      ),
    ];
  }

  #add(dialect: Spoken, operation: Operation): Row {
    const seconds = new Histogram(SECONDS_BOUNDS);
    const row: Row = { dialect, operation, seconds, outcomes: new Map() };
    const known = this.#rows.get(dialect) ?? new Map<Operation, Row>();
    this.#rows.set(dialect, known.set(operation, row));
    return row;
  }
}
