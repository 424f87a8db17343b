/** What Ctrl-C, `kill` and a terminal that closes do to servers, and to a command's files. */
import { rmSync } from 'node:fs';
import { isatty } from 'node:tty';

/** The first asks for an orderly end, the second ends at once. */
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
/**
 * Comes when a terminal closes, sometimes twice: from the shell and from the system. Node undoes
 * what `nohup` sets, so there is nothing to respect.
 */
const TERMINAL_GONE = 'SIGHUP';

const TERMINALS = [0, 1, 2].filter((descriptor) => isatty(descriptor));

/** Resolves at the first signal; every further SIGINT or SIGTERM calls `hurry`. */
export function firstSignal(hurry: () => void): Promise<void> {
  keepInspectorShut();
  return new Promise((resolve) => {
    let isFirst = true;
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        if (!isFirst) hurry();
        isFirst = false;
        resolve();
      });
    }
    // Nobody hurries who ends a session whose terminal has just closed: it is no first one.
    process.on(TERMINAL_GONE, resolve);
  });
}

/** For a process whose parent gets the same signals and decides when it ends. */
export function ignoreSignals(): void {
  keepInspectorShut();
  for (const signal of [...SIGNALS, TERMINAL_GONE]) process.on(signal, () => undefined);
}

/**
 * Node opens its inspector at SIGUSR1, and every local user could then read the keys in the memory
 * of a server. A listener takes the signal.
 */
function keepInspectorShut(): void {
  if (process.listenerCount('SIGUSR1') === 0) process.on('SIGUSR1', () => undefined);
}

/**
 * When Node ends and its terminal is gone, it aborts, which may leave a file of all its memory with
 * the keys in it. So the process is ended by the signal of that first.
 */
export function endWithoutTerminal(): void {
  if (!process.listeners('exit').includes(endBySignal)) process.on('exit', endBySignal);
}

function endBySignal(): void {
  if (TERMINALS.every((descriptor) => isatty(descriptor))) return;
  process.removeAllListeners(TERMINAL_GONE);
  process.kill(process.pid, TERMINAL_GONE);
}

/**
 * A command that is ended leaves no half file behind, not even when its terminal closes. Returns
 * what ends that.
 */
export function removeAtSignal(path: string): () => void {
  const signals = [...SIGNALS, TERMINAL_GONE] as const;
  const onSignal = (signal: NodeJS.Signals) => {
    rmSync(path, { force: true });
    // No longer listened to, so it ends the process.
    process.kill(process.pid, signal);
  };
  for (const signal of signals) process.once(signal, onSignal);
  return () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
}
