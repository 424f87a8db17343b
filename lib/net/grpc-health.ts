/** grpc.health.v1, the probe that gRPC's own tools use: `proto/grpc/health/v1/health.proto`. */
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js';
import { EncServerError } from '../errors.ts';
import { GrpcCall } from './grpc-call.ts';
import { statusOf } from './grpc-status.ts';

/** How often watched services are checked for a change, in milliseconds. */
const WATCH_MS = 1_000;

type Status = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';
type Request = { readonly service: string };
type Answer = { readonly status: Status };
type Watch = ServerWritableStream<Request, Answer>;

export class GrpcHealth {
  readonly #names: ReadonlySet<string>;
  readonly #isReady: () => Promise<boolean>;
  /** Each watch with the status it was told last. */
  readonly #watches = new Map<Watch, Status>();
  #timer: NodeJS.Timeout | undefined;

  /** @param names of the services; the server as a whole has the empty name */
  constructor(names: readonly string[], isReady: () => Promise<boolean>) {
    this.#names = new Set(['', ...names]);
    this.#isReady = isReady;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  get implementation() {
    return {
      check: (call: ServerUnaryCall<Request, Answer>, answer: sendUnaryData<Answer>) => {
        if (this.#names.has(call.request.service)) {
          void this.#status().then((status) => answer(null, { status }));
        } else {
          const hint = `there are: ${[...this.#names].filter(Boolean).join(', ')}`;
          answer(statusOf(new EncServerError('NOT_FOUND', 'there is no such service', { hint })));
        }
      },
      watch: (call: Watch) => {
        if (this.#names.has(call.request.service)) this.#watch(call);
        else call.write({ status: 'SERVICE_UNKNOWN' });
      },
      list: (_call: unknown, answer: sendUnaryData<{ statuses: Record<string, Answer> }>) => {
        void this.#status().then((status) => {
          const all = [...this.#names].map((name) => [name, { status }] as const);
          answer(null, { statuses: Object.fromEntries(all) });
        });
      },
    };
  }

  async #status(): Promise<Status> {
    const isReady = await this.#isReady().catch(() => false);
    return isReady ? 'SERVING' : 'NOT_SERVING';
  }

  #watch(call: Watch): void {
    GrpcCall.of(call.metadata).signal.addEventListener('abort', () => {
      this.#watches.delete(call);
      if (this.#watches.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    });
    // Never a real status here, so the first check always reports one.
    this.#watches.set(call, 'SERVICE_UNKNOWN');
    this.#timer ??= setInterval(() => void this.#look(), WATCH_MS);
    void this.#look();
  }

  async #look(): Promise<void> {
    const status = await this.#status();
    for (const [call, told] of this.#watches) {
      if (status === told) continue;
      this.#watches.set(call, status);
      call.write({ status });
    }
  }
}
