/** Writes that must not fail because others write the same record. */
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, EncServerError } from '../errors.ts';
import type { RequestContext } from '../net/request.ts';
import type { Turn } from './turns.ts';
import type { WriteCondition } from './write-condition.ts';

const TRIES_MAX = 20;
/** So often a writer tries among the others; after that they wait for it. */
const TRIES_AMONG_OTHERS = 4;
/** The longest pause after the first try, which doubles with each, and the longest of all. */
const PAUSE_MS = 2;
const PAUSE_MS_MAX = 50;

/**
 * Looks at a record and writes it, again whenever somebody else's write came in between. The pauses
 * are random, so that the same writers do not meet again. A caller with a condition of its own is
 * told at once that it does not hold: `CONFLICT`. For all others that would be wrong, as they
 * expect nothing of the record: `OVERLOADED` if the others go on.
 *
 * @param turn taken after a few tries, as pauses do not help against a steady stream of writes
 */
export async function despiteOthers<T>(
  { kind }: WriteCondition,
  context: Pick<RequestContext, 'remainingMs'>,
  write: () => Promise<T>,
  turn?: Turn,
): Promise<T> {
  try {
    return await tryAgain(kind, context, write, turn);
  } finally {
    turn?.end();
  }
}

async function tryAgain<T>(
  kind: WriteCondition['kind'],
  context: Pick<RequestContext, 'remainingMs'>,
  write: () => Promise<T>,
  turn: Turn | undefined,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await write();
    } catch (error) {
      if (codeOf(error) !== 'CONFLICT' || kind !== 'always') throw error;
    }
    const pauseMs = Math.random() * Math.min(PAUSE_MS_MAX, PAUSE_MS * 2 ** (tries - 1));
    if (tries === TRIES_MAX || pauseMs >= context.remainingMs) {
      throw othersGoOn();
    }
    if (tries === TRIES_AMONG_OTHERS) await turn?.take();
    await sleep(pauseMs);
  }
}

/** What is told when others keep writing a record that no condition of the caller's excludes. */
export function othersGoOn(): EncServerError {
  return new EncServerError('OVERLOADED', 'others keep writing this record');
}
