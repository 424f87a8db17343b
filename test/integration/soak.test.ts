/**
 * A short soak; `make soak` is the long one. In so short a time caches still fill, so what may grow
 * is bounded as a whole. That it would find a leak is tried on servers that have one.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { withMutant } from '../helpers/mutant.ts';
import { runCommand } from '../helpers/programs.ts';
import { seedOr } from '../helpers/random-input.ts';

const SOAK = fileURLToPath(new URL('../faults/soak.js', import.meta.url));
/** Twice what two buffers of LevelDB's, its cache and the heap of V8 come to. */
const GROWN_MIB_MAX = '300';

async function soak(minutes: number, ...args: string[]) {
  const how = [`${minutes}`, '--grown', GROWN_MIB_MAX, ...args];
  const { code, stdout, stderr } = await runCommand(process.execPath, [SOAK, ...how]);
  return { code, said: `${stdout}${stderr}`, result: stdout.toString() };
}

describe('a short soak', () => {
  it('leaves memory and descriptors as they were', async (t) => {
    const seed = seedOr(1);
    t.diagnostic(`SEED=${seed}`);
    const { code, said, result } = await soak(0.33, `--seed=${seed}`);
    assert.equal(code, 0, said);
    const facts = JSON.parse(result);
    assert.equal(facts.seed, seed);
    assert.ok(facts.callers > 100, said);
  });

  it('finds a front end that keeps memory and a descriptor of each connection', async () => {
    const leak =
      'if ((globalThis.kept ??= []).length < 300) globalThis.kept.push([Buffer.alloc(2 ** 21, 1), ' +
      "process.getBuiltinModule('node:fs').openSync('/dev/null')]);";
    const from = 'const detector = new Detector();';
    const mutation = { file: 'lib/net/opening.js', from, to: `${from} ${leak}` };
    const { code, said } = await withMutant(mutation, (dist) => soak(0.1, '--dist', dist));
    assert.equal(code, 1, said);
    assert.match(said, /memory grows \(seed \d+\)/);
    assert.match(said, /descriptors leak \(seed \d+\)/);
  });
});
