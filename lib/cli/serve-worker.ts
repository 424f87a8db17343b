/** Serves as one of several workers of a front end, until the parent says so or is gone. */
import { EXIT, type ExitCode, toEncServerError } from '../errors.ts';
import { failedBy, type ToWorker } from '../fe/workers/messages.ts';
import { preload, serve } from './serve.ts';
import { ignoreSignals } from './signals.ts';
import { note } from './terminal.ts';

type StartMessage = Extract<ToWorker, { kind: 'start' }>;

export async function serveAsWorker(number: number): Promise<ExitCode> {
  ignoreSignals();
  // Without its parent nobody would ever stop this process.
  const stopped = new Promise<undefined>((resolve) => {
    process.once('disconnect', () => resolve(undefined));
    process.on('message', ({ kind }: ToWorker) => {
      if (kind === 'stop') resolve(undefined);
    });
  });
  const started = new Promise<StartMessage>((resolve) => {
    process.on('message', (message: ToWorker) => {
      if (message.kind === 'start') resolve(message);
    });
  });
  const loaded = Promise.all([import('../fe/workers/worker.ts'), preload('fe')]);
  loaded.catch(() => undefined);
  const start = await Promise.race([started, stopped]);
  if (start === undefined) return EXIT.done;
  const [{ tellParent, WorkerLink }] = await loaded;
  try {
    const link = new WorkerLink(number, start);
    const serving = serve('fe', start.config, [], link);
    serving.catch(() => undefined);
    // One that does not serve yet has nothing to finish.
    const served = await Promise.race([serving, stopped]);
    if (served === undefined) return EXIT.done;
    await tellParent({ kind: 'listening', line: served.server.line });
    await stopped;
    await served.stop();
    return EXIT.done;
  } catch (thrown) {
    const error = toEncServerError(thrown);
    const { code, cause, row } = error;
    if (code === 'INTERNAL' && cause instanceof Error) note(String(cause.stack));
    await tellParent(failedBy(error));
    return row.exit;
  }
}
