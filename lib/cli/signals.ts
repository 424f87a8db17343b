/** What Ctrl-C, `kill` and a terminal that closes do to servers, and to a command's files. */
import { rmSync } from 'node:fs';

/** The first asks for an orderly end, the second ends at once. */
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Resolves at the first signal; every further one calls `hurry`. */
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
  });
}

/** For a process whose parent gets the same signals and decides when it ends. */
export function ignoreSignals(): void {
  keepInspectorShut();
  for (const signal of SIGNALS) process.on(signal, () => undefined);
}

/**
 * Node opens its inspector at SIGUSR1, and every local user could then read the keys in the memory
 * of a server. A listener takes the signal.
 */
function keepInspectorShut(): void {
  if (process.listenerCount('SIGUSR1') === 0) process.on('SIGUSR1', () => undefined);
}

/**
 * A command that is ended leaves no half file behind, not even when its terminal closes. Returns
 * what ends that.
 */
export function removeAtSignal(path: string): () => void {
  const signals = [...SIGNALS, 'SIGHUP'] as const;
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
