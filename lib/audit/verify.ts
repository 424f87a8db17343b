/**
 * Verifies an audit log line by line, and says what was done to it where it does not hold. It
 * continues after a fault: one finding should not hide the next.
 */
import type { KeyObject } from 'node:crypto';
import { type ChainState, isNext, NO_MAC, nextKey, type ParsedLine } from './chain.ts';
import { isSigned, type SignedCheckpoint } from './checkpoint.ts';
import type { VerificationKey } from './key-files.ts';
import { type PlacedLine, readLines } from './line-reader.ts';
import { Missing } from './missing.ts';

export type FindingKind =
  | 'altered'
  | 'removed'
  | 'reordered'
  | 'doubled'
  | 'cut'
  | 'foreign'
  | 'checkpoint';

export interface Finding {
  readonly kind: FindingKind;
  /** The file and the line in it, from 1; absent if it belongs to none. */
  readonly path?: string;
  readonly lineNumber?: number;
  /** For people: what is wrong, and with which number. */
  readonly what: string;
}

export interface VerifyOptions {
  /** In the order of their lines. */
  readonly paths: readonly string[];
  readonly key: VerificationKey;
  readonly checkpoints: readonly SignedCheckpoint[];
  /** The public key of the checkpoints; default: the one in the verification key. */
  readonly publicKey?: KeyObject;
  /** The position that the log must have reached at least. */
  readonly expected?: Pick<ChainState, 'count' | 'head'> | undefined;
}

export interface Verified {
  readonly findings: readonly Finding[];
  /** Number of lines in the log, and the MAC of the last, 64 hexadecimal digits. */
  readonly count: number;
  readonly head: string;
  /** Stretches torn by a crash, each marked by a valid line. */
  readonly torn: number;
  /** Lines that the log says it lost (`auditFailure: open`). */
  readonly lost: number;
  /** The highest number of lines that a checkpoint, or the state, vouches for. */
  readonly vouched: number;
}

/** What must hold after a number of lines. */
interface Mark {
  readonly count: number;
  readonly head: string;
  readonly says: string;
}

/** The most hashes to reach the key of a line, which take seconds. A larger number is a lie. */
const GAP_MAX = 5_000_000;

/** Rejects with `FILE_ERROR`. */
export async function verifyLog(options: VerifyOptions): Promise<Verified> {
  const verifier = new Verifier(options);
  let line: PlacedLine | undefined;
  for await (const following of readLines(options.paths)) {
    if (line !== undefined) verifier.take(line, following.parsed?.number);
    line = following;
  }
  if (line !== undefined) verifier.take(line, undefined);
  return verifier.end();
}

class Verifier {
  readonly #paths: readonly string[];
  readonly #marks: readonly Mark[];
  readonly #marksByCount = new Map<number, Mark[]>();
  readonly #log: string;
  readonly #findings: Finding[] = [];
  readonly #missing = new Missing();
  /** Number, key and previous MAC of the line that comes next. */
  #next = 0;
  #key: Buffer;
  /** Undefined if the previous line is missing. */
  #head: Buffer | undefined = NO_MAC;
  /** Malformed lines since the last good one. */
  #strange = 0;
  /** The MAC in the last of them. */
  #strangeMac: Buffer | undefined;
  #wasTorn = false;
  #torn = 0;
  #lost = 0;

  constructor(options: VerifyOptions) {
    const { paths, key, checkpoints, publicKey = key.publicKey, expected } = options;
    this.#paths = paths;
    this.#key = key.startKey;
    this.#log = key.log;
    const marks = checkpoints.flatMap((one) => this.#markOf(one, publicKey));
    if (expected !== undefined) {
      const { count, head } = expected;
      marks.push({ count, head: head.toString('hex'), says: 'what is expected' });
    }
    this.#marks = marks;
    for (const mark of marks) {
      const others = this.#marksByCount.get(mark.count) ?? [];
      this.#marksByCount.set(mark.count, [...others, mark]);
    }
  }

  /** `following` is the number of the next line, if it is a line. */
  take(line: PlacedLine, following: number | undefined): void {
    const { parsed, isTorn, isWhole } = line;
    if (isTorn) {
      this.#wasTorn = true;
    } else if (!isWhole) {
      this.#find('cut', line, 'it ends within a line: it was cut, or is being written');
    } else if (parsed === undefined) {
      this.#strange++;
      this.#strangeMac = line.mac;
      this.#find('altered', line, 'this is no line of an audit log');
    } else if (this.#isMisnumbered(parsed.number, following)) {
      this.#takeAltered(line, parsed.mac);
    } else if (parsed.number < this.#next) {
      this.#takeOld(line, parsed.number);
    } else {
      this.#takeNew(line, parsed);
    }
  }

  end(): Verified {
    for (const { first, last, path, lineNumber } of this.#missing.ranges) {
      const which = first === last ? `number ${first} is` : `numbers ${first} to ${last} are`;
      const what = `${which} missing before this one, which cannot be proven without`;
      this.#findings.push({ kind: 'removed', path, lineNumber, what });
    }
    for (const { count, says } of this.#marks) {
      if (count <= this.#next) continue;
      const what = `it ends after ${this.#next} lines, and ${says} has ${count}`;
      this.#findings.push({ kind: 'cut', what });
    }
    return {
      findings: this.#sorted(),
      count: this.#next,
      head: this.#head?.toString('hex') ?? '',
      torn: this.#torn,
      lost: this.#lost,
      vouched: Math.max(0, ...this.#marks.map(({ count }) => Math.min(count, this.#next))),
    };
  }

  /** If the next line continues from here, only the number of this one is wrong. */
  #isMisnumbered(number: number, following: number | undefined): boolean {
    if (number - this.#next > GAP_MAX) return true;
    return number !== this.#next && following === this.#next + 1;
  }

  #takeOld(line: PlacedLine, number: number): void {
    if (this.#missing.fill(number)) {
      this.#find('reordered', line, `number ${number} stands after number ${this.#next - 1}`);
    } else {
      this.#find('doubled', line, `number ${number} is there already`);
    }
  }

  #takeAltered(line: PlacedLine, mac: Buffer): void {
    this.#find('altered', line, `number ${this.#next} is not what was written`);
    this.#advance(mac, line);
  }

  #takeNew(line: PlacedLine, parsed: ParsedLine): void {
    const { path, lineNumber } = line;
    const { number } = parsed;
    const gap = number - this.#next;
    if (gap > 0) {
      // Lines that were changed beyond recognition are reported already.
      const isTold = gap === this.#strange;
      if (!isTold) {
        this.#missing.add({ first: this.#next, last: number - 1, path, lineNumber });
      }
      while (this.#next < number) {
        this.#key = nextKey(this.#key);
        this.#next++;
      }
      this.#head = isTold ? this.#strangeMac : undefined;
    }
    if (this.#head !== undefined && !isNext(parsed, this.#key, this.#head)) {
      this.#takeAltered(line, parsed.mac);
      return;
    }
    if (this.#head !== undefined) this.#note(line);
    this.#advance(parsed.mac, line);
  }

  /** What a valid line says of the log itself. */
  #note(line: PlacedLine): void {
    const { op, log, lost } = line.parsed?.fields ?? {};
    if (op === 'audit-recover' && this.#wasTorn) this.#torn++;
    if (op === 'audit-lost' && typeof lost === 'number') this.#lost += lost;
    if (op === 'audit-open' && log !== this.#log) {
      this.#find('foreign', line, 'it begins another log than the one of this key');
    }
  }

  #advance(mac: Buffer, line: PlacedLine): void {
    this.#key = nextKey(this.#key);
    this.#next++;
    this.#head = mac;
    this.#strange = 0;
    this.#wasTorn = false;
    for (const { head, says } of this.#marksByCount.get(this.#next) ?? []) {
      if (head === mac.toString('hex')) continue;
      this.#find('checkpoint', line, `${says} has another MAC for number ${this.#next - 1}`);
    }
  }

  #markOf(checkpoint: SignedCheckpoint, publicKey: KeyObject): Mark[] {
    const { log, time, count, head } = checkpoint;
    const says = `the checkpoint of ${time}`;
    if (log !== this.#log) {
      this.#findings.push({ kind: 'checkpoint', what: `${says} is of another log` });
      return [];
    }
    if (!isSigned(checkpoint, publicKey)) {
      this.#findings.push({ kind: 'checkpoint', what: `${says} has no valid signature` });
      return [];
    }
    return [{ count, head, says }];
  }

  /** In the order of the files; findings without a line come last. */
  #sorted(): Finding[] {
    const fileOf = ({ path }: Finding) =>
      path === undefined ? this.#paths.length : this.#paths.indexOf(path);
    return this.#findings.toSorted(
      (a, b) => fileOf(a) - fileOf(b) || (a.lineNumber ?? 0) - (b.lineNumber ?? 0),
    );
  }

  #find(kind: FindingKind, { path, lineNumber }: PlacedLine, what: string): void {
    this.#findings.push({ kind, path, lineNumber, what });
  }
}
