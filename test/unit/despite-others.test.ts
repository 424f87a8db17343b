import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { EncServerError } from '../../lib/errors.ts';
import { despiteOthers } from '../../lib/fe/despite-others.ts';
import { ALWAYS, IF_ABSENT, ifRevision } from '../../lib/fe/write-condition.ts';
import { rejectsWith } from '../helpers/codes.ts';

const PATIENT = { remainingMs: 600_000 };
const HURRIED = { remainingMs: 0 };

/** A write that others disturb so many times. */
function disturbed(times: number, code: 'CONFLICT' | 'WRONG_KEY' = 'CONFLICT') {
  const counted = { tries: 0 };
  const write = async () => {
    counted.tries++;
    if (counted.tries <= times) throw new EncServerError(code, 'somebody was faster');
    return 'written';
  };
  return { counted, write };
}

describe('a write among others', () => {
  it('is done again when others were faster', async () => {
    const { counted, write } = disturbed(6);
    assert.equal(await despiteOthers(ALWAYS, PATIENT, write), 'written');
    assert.equal(counted.tries, 7);
  });

  it('is refused as OVERLOADED in the end, or when its time is over', async () => {
    const often = disturbed(Number.POSITIVE_INFINITY);
    await rejectsWith(despiteOthers(ALWAYS, PATIENT, often.write), 'OVERLOADED');
    assert.ok(often.counted.tries > 10);
    const late = disturbed(1);
    await rejectsWith(despiteOthers(ALWAYS, HURRIED, late.write), 'OVERLOADED');
    assert.equal(late.counted.tries, 1);
  });

  it('is tried once where the caller has a condition, or something else is wrong', async () => {
    for (const condition of [IF_ABSENT, ifRevision(randomBytes(8))]) {
      const { counted, write } = disturbed(1);
      await rejectsWith(despiteOthers(condition, PATIENT, write), 'CONFLICT');
      assert.equal(counted.tries, 1);
    }
    const { counted, write } = disturbed(1, 'WRONG_KEY');
    await rejectsWith(despiteOthers(ALWAYS, PATIENT, write), 'WRONG_KEY');
    assert.equal(counted.tries, 1);
  });
});
