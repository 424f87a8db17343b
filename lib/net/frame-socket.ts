/** The client's end of a TCP connection that carries binary frames. */
import { connect, type OnReadOpts, type Socket } from 'node:net';
import type { EncServerError } from '../errors.ts';
import { type Frame, FrameDecoder } from '../protocol/frame.ts';
import { connectTls, type TlsClientFiles, tlsErrorOf } from './tls-files.ts';

/** Where a server is. */
export interface Address {
  /** A name or an IP address. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

export interface FrameSocketEvents {
  readonly connected: () => void;
  /** Bytes have arrived, even if only part of a frame. */
  readonly heard: () => void;
  /** An error thrown here breaks the connection. */
  readonly frame: (frame: Frame) => void;
  /** Once, at the end: an error of the network, one of the frames, or none. */
  readonly closed: (failure: NodeJS.ErrnoException | EncServerError | undefined) => void;
}

/** Buffers up to this together are joined: one copy is cheaper than a second segment. */
const JOIN_BYTES_MAX = 64 * 1024;
/** How long a peer may take to read the rest when we close, in milliseconds. */
const END_MS = 2_000;
/** Bytes taken from the system at once. None of them are kept once the callback has returned. */
const READ_BUFFER = Buffer.allocUnsafeSlow(256 * 1024);

export class FrameSocket {
  readonly #socket: Socket;
  #out: Buffer[] = [];
  #flushPlanned = false;
  #failure: NodeJS.ErrnoException | EncServerError | undefined;

  /** Over TLS where its files are given. @throws EncServerError `FILE_ERROR` */
  constructor(
    address: Address,
    tls: TlsClientFiles | undefined,
    frameBytesMax: number,
    events: FrameSocketEvents,
  ) {
    const decoder = new FrameDecoder(frameBytesMax);
    this.#socket =
      tls === undefined
        ? connect({
            ...address,
            noDelay: true,
            keepAlive: true,
            onread: this.#onRead(decoder, events),
          })
        : connectTls(address, tls);
    this.#socket.on(tls === undefined ? 'connect' : 'secureConnect', events.connected);
    this.#socket.on('error', (error) => {
      this.#failure ??= tlsErrorOf(error) ?? error;
    });
    this.#socket.on('close', () => events.closed(this.#failure));
    // Without TLS nothing arrives here: `onread` takes it. But only a listener makes the stream
    // flow, so that its end is noticed.
    this.#socket.on('data', (chunk: Buffer) => {
      decoder.push(chunk);
      this.#deliver(decoder, events);
    });
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  /** Sends, in one write together with whatever else is sent in this turn of the event loop. */
  write(buffers: readonly Buffer[]): void {
    for (const buffer of buffers) this.#out.push(buffer);
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    setImmediate(() => this.#flush());
  }

  /**
   * Closes once everything is written, without waiting for what the other side still sends. A
   * peer that stops reading must not keep the process alive.
   */
  end(): void {
    this.#flush();
    this.#socket.destroySoon();
    const timer = setTimeout(() => this.#socket.destroy(), END_MS);
    this.#socket.once('close', () => clearTimeout(timer));
  }

  destroy(failure?: EncServerError): void {
    this.#failure ??= failure;
    this.#socket.destroy();
  }

  /**
   * Reads into one buffer for all connections, out of which frames are copied. Node would allocate
   * another for every 64 KiB, and its garbage collector would traverse everything for them.
   */
  #onRead(decoder: FrameDecoder, events: FrameSocketEvents): OnReadOpts {
    return {
      buffer: READ_BUFFER,
      callback: (bytes) => {
        decoder.pushCopy(READ_BUFFER.subarray(0, bytes));
        this.#deliver(decoder, events);
        return true;
      },
    };
  }

  #deliver(decoder: FrameDecoder, events: FrameSocketEvents): void {
    events.heard();
    try {
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        events.frame(frame);
      }
    } catch (thrown) {
      this.destroy(thrown as EncServerError);
    }
  }

  #flush(): void {
    this.#flushPlanned = false;
    const buffers = this.#out;
    if (buffers.length === 0 || this.#socket.destroyed) return;
    this.#out = [];
    const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    if (bytes <= JOIN_BYTES_MAX) {
      this.#socket.write(buffers.length === 1 ? (buffers[0] as Buffer) : Buffer.concat(buffers));
      return;
    }
    this.#socket.cork();
    for (const buffer of buffers) this.#socket.write(buffer);
    this.#socket.uncork();
  }
}
