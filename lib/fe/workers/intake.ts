/**
 * Accepts the connections of all workers, counts them against the bounds of the whole server, and
 * passes each on, unread, to the worker with the fewest.
 */
import type { Socket } from 'node:net';
import type { Config } from '../../config/load.ts';
import { EncServerError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { OwnPort } from '../../net/arrivals.ts';
import { ConnectionCount } from '../../net/connection-count.ts';
import { peerOf } from '../../net/peer.ts';
import { Refuser } from '../../net/refuser.ts';
import type { WorkerProcess } from './worker-process.ts';

export class Intake {
  readonly #port: OwnPort;
  readonly #log: Logger;
  readonly #count: ConnectionCount;
  readonly #refuser = new Refuser();
  readonly #workers = new Set<WorkerProcess>();
  #lastId = 0;

  constructor(section: Config['feServerConfigs'], portFlag: string, log: Logger) {
    const { host, port } = section;
    this.#port = new OwnPort({ host, port, portFlag }, log);
    this.#count = new ConnectionCount(section);
    this.#log = log;
  }

  /** Resolves to the port. Rejects with `PORT_TAKEN`, `BAD_CONFIG`. */
  open(): Promise<number> {
    return this.#port.open((socket) => this.#accept(socket));
  }

  close(): void {
    this.#port.close();
    this.#refuser.close();
  }

  /** How many workers serve now. */
  get serving(): number {
    return this.#workers.size;
  }

  /** From here on the worker is given connections, until it ends. */
  add(worker: WorkerProcess): void {
    this.#workers.add(worker);
    worker.on('message', (message) => {
      if (message.kind !== 'closed') return;
      const address = worker.connections.get(message.id);
      if (address !== undefined) this.#count.leave(address);
      worker.connections.delete(message.id);
    });
    void worker.ended.then(() => {
      this.#workers.delete(worker);
      for (const address of worker.connections.values()) this.#count.leave(address);
      worker.connections.clear();
    });
  }

  #accept(socket: Socket): void {
    const failed = (error: Error) => this.#log.debug({ err: error }, 'socket failed');
    socket.on('error', failed);
    const worker = this.#next();
    if (worker === undefined) {
      const hint = 'ask again in a moment: they are started again';
      const error = new EncServerError('UNAVAILABLE', 'no worker is there', { hint });
      this.#refuser.refuse(socket, error);
      return;
    }
    const { address } = peerOf(socket);
    const refusal = this.#count.enter(address);
    if (refusal === undefined) worker.give(++this.#lastId, address, socket);
    else this.#refuser.refuse(socket, refusal);
  }

  #next(): WorkerProcess | undefined {
    let fewest: WorkerProcess | undefined;
    for (const worker of this.#workers) {
      const isFewer = worker.connections.size < (fewest?.connections.size ?? Number.MAX_VALUE);
      if (isFewer) fewest = worker;
    }
    return fewest;
  }
}
