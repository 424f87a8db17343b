/**
 * What every server-side connection does, whatever its dialect: it takes bytes only while it has
 * room, writes once per turn of the event loop, notices silence, and closes without losing the last
 * reply.
 *
 * Its life: it reads and answers. It is `draining` once the server closes or no request came for a
 * long time; new requests are then refused. It is `closing` once nothing more is read, because of
 * an error, the end of input or the end of draining, while the replies that are owed go out. Then
 * our end is sent, and the other side has a moment to send its own.
 */
import type { Socket } from 'node:net';
import type { Gate } from '../access.ts';
import { EncServerError, toEncServerError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Limits } from '../protocol/limits.ts';
import type { Budget, Room } from './budget.ts';
import { Outbox } from './outbox.ts';
import { ReceivingRoom } from './receiving-room.ts';
import type { RequestContext } from './request.ts';
import { Session } from './session.ts';
import type { Traffic } from './traffic.ts';

/** What the connections of one listener share. */
export interface ConnectionHost {
  readonly limits: Limits;
  readonly budget: Budget;
  readonly log: Logger;
  readonly gate: Gate;
  readonly traffic: Traffic;
}

/** Replies that the receiver has not taken, above which no more requests are read, in bytes. */
const UNSENT_BYTES_MAX = 1024 * 1024;
/** The part of the byte budget that one connection may hold. */
const BUDGET_SHARE = 1 / 4;
/** Time for the other side to close after we did, in milliseconds. */
const LINGER_MS = 2_000;

export abstract class Connection {
  protected readonly socket: Socket;
  protected readonly host: ConnectionHost;
  protected readonly session: Session;
  /** Set once nothing more is read: the connection ends when its replies are out. */
  protected closing = false;
  /** Set while the server closes or after a long silence: only requests under way are answered. */
  protected draining = false;
  protected inputEnded = false;

  readonly #outbox: Outbox;
  readonly #room: ReceivingRoom;
  /** The part of the budget that this connection holds, in bytes. */
  #heldBytes = 0;
  #activeAtMs = performance.now();
  /** When the request that is being received began to arrive; 0 while there is none. */
  #receivingSinceMs = 0;
  #drainingSinceMs = 0;
  /** When our end was sent; 0 before. */
  #endedAtMs = 0;

  constructor(socket: Socket, host: ConnectionHost) {
    this.socket = socket;
    this.host = host;
    this.session = Session.of(socket, host.gate);
    this.#outbox = new Outbox(socket, (release) => this.#written(release));
    this.#room = new ReceivingRoom(host.budget, (bytes) => {
      this.#heldBytes += bytes;
      this.proceed();
    });
  }

  /** Starts with the bytes that were read to detect the dialect; `ended` when no more will come. */
  start(head: Buffer, ended: boolean): void {
    this.socket.on('data', (chunk) => this.#received(chunk));
    this.socket.on('end', () => this.#inputEnded());
    if (head.length > 0) this.#received(head);
    if (ended) this.#inputEnded();
    else this.#flowed();
  }

  /** Takes bytes in. Throws an error that closes the connection. */
  protected abstract push(chunk: Buffer): void;
  /**
   * Handles what was taken in, as far as there is room. Throws an error that closes the connection.
   */
  protected abstract advance(): void;
  /** No more input will come; throws if it stopped in the middle of something. */
  protected abstract finishInput(): void;
  /** Whether another request can be taken, as far as the dialect knows. */
  protected abstract hasRoom(): boolean;
  /** Requests that are not answered yet. */
  protected abstract get underWay(): number;
  /** Whether a request has begun to arrive, or has arrived and waits. */
  protected abstract get receiving(): boolean;
  /** The last bytes to send for an error that closes the connection. */
  protected abstract farewell(error: EncServerError): Buffer[];
  /** Announces that the server closes; empty where the dialect has no words for it. */
  protected abstract goodbye(): Buffer[];
  /** Whether a draining connection stays open to let the other side act. */
  protected abstract get awaitsPeer(): boolean;
  /** Cancels what is under way. */
  protected abstract cancelAll(): void;

  /** Whether a new request may begin, or the one whose room is reserved may go on. */
  protected canRead(): boolean {
    if (this.closing || this.#room.isAwaited) return false;
    // Stopping in the middle would hold its room for ever.
    if (this.receivingBytes > 0) return true;
    const { budget } = this.host;
    const { unsentBytes } = this.#outbox;
    if (unsentBytes >= UNSENT_BYTES_MAX || (unsentBytes > 0 && budget.isOverfull)) return false;
    const share = budget.bytesMax * BUDGET_SHARE;
    return (this.#heldBytes === 0 || this.#heldBytes < share) && this.hasRoom();
  }

  /** Reserves room for input; false if it must wait, in which case {@link advance} follows. */
  protected reserve(bytes: number): boolean {
    const isThere = this.#room.reserve(bytes, this.session.caller);
    if (isThere) this.#heldBytes += bytes;
    return isThere;
  }

  /** Room reserved for the request that is being received, in bytes. */
  protected get receivingBytes(): number {
    return this.#room.bytes;
  }

  /**
   * Hands the room of a complete request to its handler, which gives it back.
   *
   * @param bytes what it needs of it; the rest is given back
   */
  protected takeRoom(bytes?: number): Room | undefined {
    // The next request has its own time to arrive.
    this.#receivingSinceMs = 0;
    const room = this.#room.take();
    if (room === undefined || bytes === undefined || room.bytes <= bytes) return room;
    this.giveBack({ ...room, bytes: room.bytes - bytes });
    return { ...room, bytes };
  }

  /** Gives the room of a request back; what it brought is needed no longer. */
  protected giveBack(room: Room | undefined): void {
    if (room === undefined) return;
    this.#heldBytes -= room.bytes;
    room.budget.release(room.bytes);
  }

  /** Sends buffers in order. They are counted until they are flushed. */
  protected send(buffers: readonly Buffer[]): void {
    let bytes = 0;
    for (const buffer of buffers) bytes += buffer.length;
    this.host.budget.count(bytes);
    this.#heldBytes += bytes;
    this.#outbox.push(buffers, bytes);
  }

  /** After an answer, or when room was granted: goes on with what waits. */
  protected proceed(): void {
    if (this.socket.destroyed) return;
    try {
      if (!this.closing) this.advance();
    } catch (thrown) {
      this.fail(toEncServerError(thrown));
    }
    this.#receivingSinceMs = this.receiving ? this.#receivingSinceMs || performance.now() : 0;
    this.#flowed();
  }

  /** The error to answer when a handler failed; a defect is also logged. */
  protected explain(thrown: unknown, context: RequestContext): EncServerError {
    const error = toEncServerError(thrown);
    if (error.code === 'INTERNAL') {
      this.host.log.error({ err: error, ...context.traceFields }, 'a request failed');
    }
    return error;
  }

  /** Reports the error, sends what is owed, and closes. */
  protected fail(error: EncServerError): void {
    if (this.closing) return;
    const { code, message } = error;
    this.host.log.debug({ code }, 'connection closed: %s', message);
    this.#stopReading();
    this.send(this.farewell(error));
    this.#endWhenIdle();
  }

  /** Closes once the replies are out; further input is dropped. */
  protected quit(): void {
    this.#stopReading();
    this.#endWhenIdle();
  }

  /** Answers requests under way, refuses new ones, and closes. */
  drain(): void {
    if (this.closing || this.draining) return;
    this.draining = true;
    this.#drainingSinceMs = performance.now();
    const words = this.goodbye();
    if (words.length > 0) this.send(words);
    this.#endWhenIdle();
  }

  /** Called by the listener once the socket is gone. */
  closed(): void {
    this.#stopReading();
    this.cancelAll();
    this.#release(this.#outbox.clear());
  }

  /** Called often: ends what has been silent for too long. `now` is of `performance.now()`. */
  checkTime(now: number): void {
    const { limits } = this.host;
    if (this.#endedAtMs > 0) {
      if (now - this.#endedAtMs > LINGER_MS) this.socket.destroy();
    } else if (this.#isStuck(now, limits.sendTimeoutMs)) {
      this.host.log.info('connection closed: its replies were not taken');
      this.socket.destroy();
    } else if (this.draining && now - this.#drainingSinceMs > LINGER_MS && this.underWay === 0) {
      this.quit();
    } else if (
      this.#receivingSinceMs > 0 &&
      now - this.#receivingSinceMs > limits.receiveTimeoutMs
    ) {
      // While we hold the sender back ourselves, the time does not count against it.
      if (this.socket.isPaused()) this.#receivingSinceMs = now;
      else this.fail(new EncServerError('TIMEOUT', 'the request did not arrive in time'));
    } else if (this.underWay === 0 && now - this.#activeAtMs > limits.idleTimeoutMs) {
      this.drain();
    }
  }

  #isStuck(now: number, sendTimeoutMs: number): boolean {
    return this.#outbox.unsentBytes > 0 && now - this.#outbox.progressAtMs > sendTimeoutMs;
  }

  #stopReading(): void {
    this.closing = true;
    this.#room.forget();
    this.giveBack(this.takeRoom());
  }

  #received(chunk: Buffer): void {
    // After the last words, input is read and dropped: unread bytes would reset the connection, and
    // the words would be lost with it.
    if (this.closing) return;
    this.#activeAtMs = performance.now();
    this.push(chunk);
    this.proceed();
  }

  #inputEnded(): void {
    this.inputEnded = true;
    this.proceed();
  }

  /** Once all complete requests were taken, an incomplete one is an error. */
  #finishWhenTaken(): void {
    if (!this.canRead()) return;
    try {
      this.finishInput();
    } catch (thrown) {
      this.fail(toEncServerError(thrown));
    }
    if (this.underWay === 0 && !this.receiving) this.closing = true;
  }

  #flowed(): void {
    if (this.socket.destroyed) return;
    if (this.inputEnded && !this.closing) this.#finishWhenTaken();
    if (this.closing || this.canRead()) this.socket.resume();
    else this.socket.pause();
    this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    if (this.#endedAtMs > 0 || this.underWay > 0 || this.#outbox.unsentBytes > 0) return;
    if (this.draining && !this.awaitsPeer) this.closing = true;
    if (!this.closing) return;
    this.#endedAtMs = performance.now();
    this.socket.resume();
    this.socket.end();
  }

  #written(bytes: number): void {
    this.#activeAtMs = performance.now();
    this.#release(bytes);
    this.proceed();
  }

  #release(bytes: number): void {
    this.#heldBytes -= bytes;
    this.host.budget.release(bytes);
  }
}
