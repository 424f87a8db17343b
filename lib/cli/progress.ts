/** Shows the progress of a long command to people. */

export interface Progress {
  readonly update: (done: number, all: number) => void;
  readonly end: () => void;
}

const SILENT: Progress = { update: () => undefined, end: () => undefined };

/** A bar on a terminal; nothing elsewhere, where only the result matters. */
export async function openProgress(): Promise<Progress> {
  if (!process.stderr.isTTY) return SILENT;
  const { Presets, SingleBar } = await import('cli-progress');
  const bar = new SingleBar({ stream: process.stderr, etaBuffer: 1_000 }, Presets.shades_classic);
  bar.start(0, 0);
  return {
    update(done, all) {
      bar.setTotal(all);
      bar.update(done);
    },
    end: () => bar.stop(),
  };
}
