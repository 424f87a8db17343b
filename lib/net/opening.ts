/** Waits for the first bytes of a connection, which tell its dialect. */
import type { Socket } from 'node:net';
import { type Dialect, detect } from '../protocol/detect.ts';

/** `late`: no dialect within the time. `silent`: the input ended without a byte. */
export type Opening = Dialect | 'late' | 'silent';

/** Takes the connection over, paused, with what was read; `ended` when no more will come. */
export type Opened = (opening: Opening, head: Buffer, ended: boolean) => void;

/**
 * Holds the first bytes back until they tell the dialect; `detect` bounds how many that can be.
 * Calls `opened` once, unless the socket closes first or the returned function, which ends the
 * wait, is called.
 */
export function watchOpening(socket: Socket, timeoutMs: number, opened: Opened): () => void {
  let head: Buffer = Buffer.alloc(0);
  const decide = (opening: Opening, ended: boolean) => {
    stop();
    socket.pause();
    opened(opening, head, ended);
  };
  const onData = (chunk: Buffer) => {
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    const dialect = detect(head, false);
    if (dialect !== undefined) decide(dialect, false);
  };
  const onEnd = () =>
    decide(head.length === 0 ? 'silent' : (detect(head, true) ?? 'unknown'), true);
  const timer = setTimeout(() => decide('late', false), timeoutMs);
  const stop = () => {
    clearTimeout(timer);
    socket.off('data', onData);
    socket.off('end', onEnd);
    socket.off('close', stop);
  };
  socket.on('data', onData);
  socket.on('end', onEnd);
  socket.on('close', stop);
  socket.resume();
  return stop;
}
