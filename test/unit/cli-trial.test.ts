/** The trial with servers that do what they should not. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClientSetting } from '../../lib/cli/client-flags.ts';
import { runTrial, type TrialSteps } from '../../lib/cli/trial.ts';
import { EncServerError } from '../../lib/errors.ts';
import { rejectsWith } from '../helpers/store-values.ts';

function settingOf(lines: string[]): ClientSetting {
  return {
    address: { host: 'localhost', port: 1 },
    token: undefined,
    tls: undefined,
    timeoutMs: 1,
    trial: { id: 'trial', record: 'words' },
    json: false,
    result: async (text) => {
      lines.push(text);
    },
  };
}

/** Steps that work, on a map, and note what was done; `broken` replaces some. */
function stepsOf(done: string[], broken: Partial<TrialSteps> = {}): TrialSteps {
  const records = new Map<string, Buffer>();
  return {
    store: async (id, record) => {
      done.push('store');
      records.set(id, record);
    },
    retrieve: async (id) => {
      done.push('retrieve');
      return records.get(id) as Buffer;
    },
    remove: async (id) => {
      done.push('remove');
      records.delete(id);
    },
    ...broken,
  };
}

describe('the trial', () => {
  it('says each step when it is done', async () => {
    const [done, lines]: [string[], string[]] = [[], []];
    assert.equal(await runTrial(settingOf(lines), stepsOf(done)), 0);
    assert.deepEqual(done, ['store', 'retrieve', 'remove']);
    assert.equal(lines.length, 4);
  });

  it('touches nothing when the ID is in use', async () => {
    const [done, lines]: [string[], string[]] = [[], []];
    const store = async () => {
      throw new EncServerError('CONFLICT', 'it is there');
    };
    await rejectsWith(runTrial(settingOf(lines), stepsOf(done, { store })), 'CONFLICT');
    assert.deepEqual([done, lines], [[], []]);
  });

  it('passes other failures to store on', async () => {
    const store = async () => {
      throw new EncServerError('UNAVAILABLE', 'nobody there');
    };
    await rejectsWith(runTrial(settingOf([]), stepsOf([], { store })), 'UNAVAILABLE');
  });

  it('fails when another record comes back, and deletes what it stored', async () => {
    const done: string[] = [];
    const retrieve = async () => Buffer.from('word5');
    await rejectsWith(runTrial(settingOf([]), stepsOf(done, { retrieve })), 'TRIAL_FAILED');
    assert.deepEqual(done, ['store', 'remove']);
  });

  it('tells of the first failure when the deletion fails, too', async () => {
    const retrieve = async () => {
      throw new EncServerError('ALTERED', 'changed');
    };
    const remove = async () => {
      throw new EncServerError('UNAVAILABLE', 'gone');
    };
    await rejectsWith(runTrial(settingOf([]), stepsOf([], { retrieve, remove })), 'ALTERED');
    await rejectsWith(runTrial(settingOf([]), stepsOf([], { remove })), 'UNAVAILABLE');
  });
});
