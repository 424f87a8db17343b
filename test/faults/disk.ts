/**
 * A small disk of its own for a store: an ext4 file system in a file, which can be filled, turned
 * read-only, slowed down, or lose its power. The last one drops everything that was not synced,
 * as ext4's shutdown does (the ioctl by which file systems are tested): what a machine finds
 * when it starts again. Needs root, loop devices, mkfs.ext4 and perl.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RESERVE_BYTES } from '../../lib/store/reserve.ts';

const MIB = 1024 * 1024;
/** Twice what the reserve asks for, and room to work in. */
const DISK_BYTES = 3 * RESERVE_BYTES + 48 * MIB;
const UNMOUNT_MS_MAX = 10_000;
/** `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH` (linux/fs/ext4/ext4.h). */
const SHUTDOWN =
  'open(my $d, "<", $ARGV[0]) or die; my $f = pack("L", 2); ioctl($d, 0x8004587D, $f) or die "$!"';

export class Disk {
  readonly path: string;
  readonly #image: string;

  private constructor(folder: string) {
    this.path = join(folder, 'disk');
    this.#image = join(folder, 'disk.img');
  }

  /** Undefined, with the reason on standard error, where none can be made. */
  static open(folder: string): Disk | undefined {
    const disk = new Disk(folder);
    try {
      mkdirSync(disk.path);
      execFileSync('truncate', ['-s', `${DISK_BYTES}`, disk.#image], { stdio: 'pipe' });
      execFileSync('mkfs.ext4', ['-q', '-F', disk.#image], { stdio: 'pipe' });
      disk.mount();
      return disk;
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      process.stderr.write(`no disk of its own, so no faults of one: ${words}\n`);
      return undefined;
    }
  }

  mount(): void {
    execFileSync('mount', ['-o', 'loop', this.#image, this.path], { stdio: 'pipe' });
  }

  /** Once nobody has a file open on it. */
  async unmount(): Promise<void> {
    const deadlineMs = Date.now() + UNMOUNT_MS_MAX;
    for (;;) {
      const { status, stderr } = spawnSync('umount', [this.path], { encoding: 'utf8' });
      if (status === 0) return;
      if (Date.now() > deadlineMs) throw new Error(`cannot unmount: ${stderr}`);
      await sleep(50);
    }
  }

  async close(): Promise<void> {
    await this.unmount();
    rmSync(this.#image);
  }

  /** Until not a byte more goes in. */
  fill(): void {
    const file = openSync(this.#filler, 'w');
    try {
      for (let bytes = MIB; bytes >= 1; bytes = Math.floor(bytes / 4)) {
        const chunk = Buffer.alloc(bytes);
        while (takes(file, chunk));
      }
    } finally {
      closeSync(file);
    }
  }

  empty(): void {
    rmSync(this.#filler, { force: true });
  }

  get #filler(): string {
    return join(this.path, 'filler');
  }

  /** As after an error of the disk: what is open for writing, too, is so no longer. */
  turnReadOnly(): void {
    execFileSync('mount', ['-o', 'remount,abort', this.path], { stdio: 'pipe' });
  }

  cutPower(): void {
    execFileSync('perl', ['-e', SHUTDOWN, this.path], { stdio: 'pipe' });
  }
}

function takes(file: number, chunk: Buffer): boolean {
  try {
    return writeSync(file, chunk) === chunk.length;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
    throw error;
  }
}

/** Each sync of a process takes so much longer, for a while; false where strace cannot do it. */
export async function slowSyncs(pid: number, delayMs: number, forMs: number): Promise<boolean> {
  const inject = `inject=fsync,fdatasync:delay_enter=${delayMs * 1_000}`;
  const args = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=fsync,fdatasync', '-e', inject];
  const strace = spawn('strace', [...args, '-p', `${pid}`], { stdio: 'ignore' });
  const ended = new Promise<boolean>((resolve) => {
    strace.once('error', () => resolve(false));
    strace.once('exit', () => resolve(false));
  });
  const isSlow = await Promise.race([ended, sleep(forMs).then(() => true)]);
  strace.kill('SIGTERM');
  await ended;
  return isSlow;
}
