/** Waits for the first bytes of a connection, which tell its dialect. */
import type { Socket } from 'node:net';
import { Detector, type Dialect } from '../protocol/detect.ts';

/** `late`: no dialect within the time. `silent`: the input ended without a byte. */
export type Opening = Dialect | 'late' | 'silent';

/** Takes the connection over, paused, with what was read; `ended` when no more will come. */
export type Opened = (opening: Opening, head: Buffer, ended: boolean) => void;

/**
 * Holds the first bytes back until they tell the dialect; `Detector` bounds how many that can be.
 * Calls `opened` once, unless the socket closes first or the returned function, which ends the
 * wait, is called.
 */
export function watchOpening(socket: Socket, timeoutMs: number, opened: Opened): () => void {
  const detector = new Detector();
  const decide = (opening: Opening, ended: boolean) => {
    stop();
    socket.pause();
    opened(opening, detector.head, ended);
  };
  const onData = (chunk: Buffer) => {
    const dialect = detector.push(chunk);
    if (dialect !== undefined) decide(dialect, false);
  };
  const onEnd = () => decide(detector.head.length === 0 ? 'silent' : detector.end(), true);
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
