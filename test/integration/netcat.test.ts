/** Text lines through every netcat of this machine: they differ in what they do at the end. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { findCommand, type RunningUp, runCommand, startUp } from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

const NAMES = ['nc', 'nc.openbsd', 'nc.traditional', 'ncat'];

describe('netcat', () => {
  let folder: string;
  let up: RunningUp;
  before(async () => {
    folder = await temporaryFolder();
    up = await startUp(folder, ['--store', 'memory']);
  });
  after(async () => {
    await up.killAll();
    await rm(folder, { recursive: true });
  });

  for (const name of NAMES) {
    it(`${name} gets an answer to each line`, async (t) => {
      if ((await findCommand(name)) === undefined) {
        t.skip(`${name} is not installed`);
        return;
      }
      const ask = async (port: number, input: string) => {
        const { stdout } = await runCommand(name, ['127.0.0.1', `${port}`], { input });
        return stdout.toString();
      };
      const said = await ask(up.fePort, 'STORE bob hi there\nPING\nQUIT\n');
      assert.match(said, /^[0-9a-f]{64}\nPONG\n/);
      const key = said.slice(0, 64);
      assert.match(await ask(up.fePort, `RETRIEVE bob ${key}\r\nQUIT\r\n`), /^hi there\r?\n/);
      assert.match(await ask(up.fePort, 'store bob hi\nQUIT\n'), /^ERROR UNKNOWN_VERB .*STORE/);
      assert.match(
        await ask(up.bePort, 'STORE bob 00ff\nRETRIEVE bob\nQUIT\n'),
        /^SUCCESS\n00ff\n/,
      );
      const help = await runCommand(name, ['-h']);
      if (!/^\s*-N\s/m.test(help.stderr)) {
        t.diagnostic(`${name} cannot end its input without ending the connection`);
        return;
      }
      // Without an end of line, the end of input ends the line.
      for (const port of [up.fePort, up.bePort]) {
        const ended = await runCommand(name, ['-N', '127.0.0.1', `${port}`], { input: 'PING' });
        assert.match(ended.stdout.toString(), /^PONG\n$/);
      }
    });
  }
});
