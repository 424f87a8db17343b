/** Ctrl-C and `kill`: the first asks for an orderly end, the second ends at once. */
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
