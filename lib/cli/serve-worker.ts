/** Serves as one of several workers of a front end, until the parent stops it or is gone. */
import { EXIT, type ExitCode } from '../errors.ts';
import type { FromWorker, ToWorker } from '../fe/workers/messages.ts';
import { tellParent } from '../parent-process.ts';
import { preload, serve, tellFailure } from './serve.ts';
import { ignoreSignals } from './signals.ts';

const tell: (message: FromWorker) => Promise<void> = tellParent;

type StartMessage = Extract<ToWorker, { kind: 'start' }>;

export async function serveAsWorker(number: number): Promise<ExitCode> {
  ignoreSignals();
  // Without its parent, nobody would ever stop this process.
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
  const [{ WorkerLink }] = await loaded;
  try {
    const link = new WorkerLink(number, start);
    const serving = serve('fe', start.config, [], link);
    serving.catch(() => undefined);
    // A worker that does not serve yet has nothing to finish.
    const served = await Promise.race([serving, stopped]);
    if (served === undefined) return EXIT.done;
    await tell({ kind: 'listening', line: served.server.line });
    await stopped;
    await served.stop();
    return EXIT.done;
  } catch (thrown) {
    return await tellFailure(thrown);
  }
}
