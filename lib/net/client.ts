/** Requests over a few lanes, sent again where that is safe. */
import { setTimeout as sleep } from 'node:timers/promises';
import { EncServerError, type ErrorCode, toEncServerError } from '../errors.ts';
import type { FieldEntry } from '../protocol/fields.ts';
import { type Calling, checkCalling } from './host-policy.ts';
import { type Address, type Answer, Lane, type LaneOptions, type Request } from './lane.ts';
import { timerMs } from './timer.ts';

/** How a caller limits one request. */
export interface CallOptions {
  /** Longest time for the answer, in milliseconds; default: the client's. */
  readonly timeoutMs?: number | undefined;
  /** Aborts the request: `CANCELLED`. */
  readonly signal?: AbortSignal | undefined;
}

export interface Call extends CallOptions {
  readonly opcode: number;
  readonly fields: readonly FieldEntry[];
  readonly body: Buffer | undefined;
  /** Whether it changes anything. */
  readonly writes: boolean;
  /** Whether doing it twice is the same as doing it once, so that it may be sent again. */
  readonly idempotent: boolean;
}

/** A call that only reads, and may be sent again. */
export function readCall(
  opcode: number,
  fields: readonly FieldEntry[],
  { timeoutMs, signal }: CallOptions,
): Call {
  return { opcode, fields, body: undefined, writes: false, idempotent: true, timeoutMs, signal };
}

/** A call that changes something. */
export function writeCall(
  opcode: number,
  fields: readonly FieldEntry[],
  body: Buffer | undefined,
  idempotent: boolean,
  { timeoutMs, signal }: CallOptions,
): Call {
  return { opcode, fields, body, writes: true, idempotent, timeoutMs, signal };
}

export interface FrameClientOptions extends LaneOptions, Calling {
  readonly connections: number;
  readonly timeoutMs: number;
  /** How many times one call is sent at most. */
  readonly attemptsMax: number;
  /** Translates an error for the caller; the result also decides whether to retry. */
  readonly explain?: (error: EncServerError) => EncServerError;
  /**
   * Errors that the caller must mend before a retry, though the server did not execute the call.
   */
  readonly mendedByCaller?: ReadonlySet<ErrorCode>;
}

const RETRY_FIRST_MS = 20;
const RETRY_MAX_MS = 500;

export class FrameClient {
  readonly #options: FrameClientOptions;
  readonly #lanes: Lane[];

  /** @throws EncServerError `INVALID_FIELD`, `BAD_CONFIG` */
  constructor(options: FrameClientOptions) {
    checkOptions(options);
    checkCalling(options);
    const connectTimeoutMs = timerMs(options.connectTimeoutMs);
    this.#options = { ...options, connectTimeoutMs };
    this.#lanes = Array.from({ length: options.connections }, () => new Lane(this.#options));
  }

  /** Whether a connection is open, its HELLO answered. */
  get connected(): boolean {
    return this.#lanes.some((lane) => lane.ready);
  }

  /** Why there is no connection, if connecting was tried. */
  get lastError(): EncServerError | undefined {
    return this.#lanes.find((lane) => lane.lastError !== undefined)?.lastError;
  }

  /**
   * Sends a request, again where the server did not execute it, or where doing it twice is the same
   * as doing it once. Rejects with {@link EncServerError}; for network errors see
   * {@link Lane.request}.
   */
  call(call: Call): Promise<Answer> {
    const { opcode, fields, body, writes, signal } = call;
    const deadlineMs = performance.now() + (call.timeoutMs ?? this.#options.timeoutMs);
    const request: Request = { opcode, fields, body, writes, deadlineMs, signal };
    // Nearly every request is answered: the retry is not prepared for each of them.
    return this.#lane()
      .request(request)
      .catch((thrown: unknown) => this.#again(request, call.idempotent, thrown));
  }

  /** Continues after a failed first attempt. */
  async #again(request: Request, idempotent: boolean, thrown: unknown): Promise<Answer> {
    const { deadlineMs, signal } = request;
    let unknown: EncServerError | undefined;
    for (let attempts = 1, failure = thrown; ; attempts++) {
      const error = this.#explained(failure);
      if (error.code === 'UNKNOWN_OUTCOME') unknown = error;
      const retry = this.#options.mendedByCaller?.has(error.code) ? 'never' : error.row.retry;
      const isSafe = retry === 'always' || (retry === 'if-idempotent' && idempotent);
      const pauseMs = pauseAfter(attempts);
      const isLate = performance.now() + pauseMs >= deadlineMs;
      if (!isSafe || isLate || attempts >= this.#options.attemptsMax || signal?.aborted) {
        // The last error describes only the last attempt: an earlier one may have been executed.
        throw unknown ?? error;
      }
      // A signal ends the pause; the next attempt then reports it.
      await sleep(pauseMs, undefined, signal && { signal }).catch(() => undefined);
      // A pause can overrun; the earlier error then says more than "too late".
      if (performance.now() >= deadlineMs) throw unknown ?? error;
      try {
        return await this.#lane().request(request);
      } catch (again) {
        failure = again;
      }
    }
  }

  #explained(thrown: unknown): EncServerError {
    const error = toEncServerError(thrown);
    return this.#options.explain?.(error) ?? error;
  }

  /**
   * Sends a request on every open connection, or, where there is none, on a new one. Resolves
   * once one of them took it.
   */
  async callEach(call: Call): Promise<void> {
    const { opcode, fields, body, writes, signal } = call;
    const deadlineMs = performance.now() + (call.timeoutMs ?? this.#options.timeoutMs);
    const open = this.#lanes.filter((lane) => lane.ready);
    if (open.length === 0) return void (await this.call(call));
    const request: Request = { opcode, fields, body, writes, deadlineMs, signal };
    const answers = await Promise.allSettled(open.map((lane) => lane.request(request)));
    const [first] = answers;
    if (first?.status === 'rejected' && answers.every(({ status }) => status === 'rejected')) {
      throw toEncServerError(first.reason);
    }
  }

  /** Lets requests under way be answered, then closes. */
  close(): void {
    for (const lane of this.#lanes) lane.close();
  }

  /** The lane with the fewest requests under way, preferably one that is ready. */
  #lane(): Lane {
    let best = this.#lanes[0] as Lane;
    let ready: Lane | undefined;
    for (const [index, former] of this.#lanes.entries()) {
      const lane = former.leaving ? this.#replace(former, index) : former;
      if (lane.usable === best.usable ? lane.underWay < best.underWay : lane.usable) best = lane;
      if (lane.ready && lane.underWay < (ready?.underWay ?? Infinity)) ready = lane;
    }
    if (best.ready || ready === undefined) return best;
    // For later requests; this one does not wait for it.
    best.connect();
    return ready;
  }

  /** The old lane still gets its answers; a server that took over the port gets the rest. */
  #replace(lane: Lane, index: number): Lane {
    lane.close();
    const next = new Lane(this.#options);
    this.#lanes[index] = next;
    return next;
  }
}

/** People call the libraries from plain JavaScript, too. */
function checkOptions({ address, connections }: FrameClientOptions): void {
  const { host, port }: Partial<Address> = address ?? {};
  if (typeof host !== 'string' || !Number.isInteger(port)) {
    throw new EncServerError('INVALID_FIELD', 'the client has no address', {
      hint: "pass address: parseAddress('HOST:PORT')",
    });
  }
  if (!Number.isInteger(connections) || connections < 1) {
    throw new EncServerError('INVALID_FIELD', 'the client has no connections', {
      hint: 'their number is a whole one from 1 on',
    });
  }
}

/** Longer each time, and randomised so that clients do not retry in step. In milliseconds. */
function pauseAfter(attempts: number): number {
  return Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** attempts) * (0.5 + Math.random());
}

/** The facts of a reply to INFO. @throws EncServerError `BAD_FRAME` */
export function infoOf(answer: Answer): Record<string, unknown> {
  try {
    return JSON.parse(answer.body.toString('utf8')) as Record<string, unknown>;
  } catch (cause) {
    throw new EncServerError('BAD_FRAME', 'the reply to INFO is no JSON', { cause });
  }
}

/**
 * An address written `host:port`, `[v6]:port`, or `:port` for this machine.
 * @throws EncServerError `USAGE` if it is malformed
 */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:\s]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) {
    throw new EncServerError('USAGE', `no address: ${text}`, { hint: 'write HOST:PORT' });
  }
  return { host: match[1] ?? (match[2] || 'localhost'), port };
}
