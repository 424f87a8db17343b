/** Disk space that a measurement needs. */
import { statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';

const GIB = 1024 ** 3;

/** Ends the process with a message if there is too little. */
export function checkSpace(bytesMin: number): void {
  const { bavail, bsize } = statfsSync(tmpdir());
  const free = bavail * bsize;
  if (free >= bytesMin) return;
  const gib = (bytes: number) => (bytes / GIB).toFixed(1);
  process.stderr.write(
    `bench: ${tmpdir()} has ${gib(free)} GiB free, and it takes ${gib(bytesMin)}; TMPDIR names another folder\n`,
  );
  process.exit(1);
}
