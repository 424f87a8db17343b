/**
 * Turns of writers that others disturb. Such a writer looks at a record, then writes it if it is
 * unchanged; among writers that need no look it would lose every time. While it has the turn of a
 * name, new writes of this process to that name wait, so that those under way come to an end.
 */
import type { RecordName } from '../crypto/envelope.ts';
import type { RequestContext } from '../net/request.ts';
import { timerMs } from '../net/timer.ts';
import { TransientMap } from '../transient.ts';

type Timed = Pick<RequestContext, 'remainingMs'>;

/** The turn of one writer, which it takes at most once, and must end. */
export interface Turn {
  /** Resolves when those that took theirs before have ended it, or the request's time is over. */
  take(): Promise<void>;
  end(): void;
}

export class Turns {
  /** The end of the last turn that was taken of each name. */
  readonly #ends = new TransientMap<string, Promise<void>>();

  /**
   * Resolves when whoever has the turn at this moment has ended it, or the request's time is over;
   * nothing if nobody has. A turn that is taken later is not waited for, so nobody waits forever.
   */
  pass(name: RecordName, context: Timed): Promise<void> | undefined {
    if (this.#ends.size === 0) return undefined;
    const end = this.#ends.get(keyOf(name));
    return end && within(end, context);
  }

  of(name: RecordName, context: Timed): Turn {
    let end = () => {};
    const take = async () => {
      const key = keyOf(name);
      const before = this.#ends.get(key);
      const ended = new Promise<void>((resolve) => {
        end = resolve;
      });
      // Who gives up waiting must not let those that come later go before those that came earlier.
      const all = before === undefined ? ended : Promise.all([before, ended]).then(() => undefined);
      this.#ends.set(key, all);
      void all.then(() => {
        if (this.#ends.get(key) === all) this.#ends.delete(key);
      });
      if (before !== undefined) await within(before, context);
    };
    return { take, end: () => end() };
  }
}

async function within(end: Promise<void>, { remainingMs }: Timed): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timerMs(remainingMs));
  });
  try {
    await Promise.race([end, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Unambiguous: the namespace's length comes first. */
function keyOf({ namespace, id }: RecordName): string {
  return `${namespace.length}:${namespace.toString('latin1')}${id.toString('latin1')}`;
}
