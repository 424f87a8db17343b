/**
 * Every `sh` block of README.md and docs/OPERATIONS.md, typed from top to bottom in an empty home.
 * Where a section starts no servers itself, both run as `enc-server up` has them.
 */
import assert from 'node:assert/strict';
import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { cleanEnv, type ProgramName, pathOf, Running, runCommand } from '../helpers/programs.ts';
import { pathInRepository, readRepository } from '../helpers/repository.ts';
import { temporaryFolder } from '../helpers/servers.ts';
import { masked, REASONS, type ShellBlock, shellBlocksOf } from '../helpers/shell-blocks.ts';

/** What is not run of each document: somebody who adds a block to it says so here, too. */
const DOCUMENTS = [
  ['README.md', { docker: 3, kubernetes: 4, mongodb: 2, make: 2 }, 6],
  ['docs/OPERATIONS.md', { docker: 0, kubernetes: 0, mongodb: 0, make: 1 }, 10],
] as const;

/** Ports that are free now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  const ports: number[] = [];
  for (const server of servers) {
    if (!server.listening) await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    if (typeof address === 'object' && address !== null) ports.push(address.port);
  }
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  return ports;
}

/** Somebody's machine: a home, a folder to work in, and the package installed there. */
class Machine {
  readonly folder: string;
  readonly #ports: readonly [fe: number, be: number];
  #servers: Running | undefined;
  /** The section whose block started them; none where they are the ones that always run. */
  #startedBy: number | undefined;

  constructor(folder: string, ports: readonly [number, number]) {
    this.folder = folder;
    this.#ports = ports;
  }

  static async make(): Promise<Machine> {
    const folder = await temporaryFolder();
    const [fe = 0, be = 0] = await freePorts(2);
    const bin = join(folder, 'work/node_modules/.bin');
    await mkdir(bin, { recursive: true });
    // A project of its own, whatever lies in the folders above.
    await writeFile(join(folder, 'work/package.json'), '{ "type": "module" }');
    await mkdir(join(folder, 'home'));
    const { bin: programs } = JSON.parse(readRepository('package.json'));
    for (const name of Object.keys(programs)) {
      const program = name === 'enc-server-ts' ? 'enc-server' : (name as ProgramName);
      await symlink(pathOf(program), join(bin, name));
    }
    await symlink(pathInRepository('.'), join(folder, 'work/node_modules/enc-server-ts'));
    return new Machine(folder, [fe, be]);
  }

  get #options() {
    const [fe, be] = this.#ports;
    const cwd = join(this.folder, 'work');
    const env = cleanEnv({
      HOME: join(this.folder, 'home'),
      PATH: `${join(cwd, 'node_modules/.bin')}:${process.env['PATH']}`,
      XDG_STATE_HOME: undefined,
      npm_config_offline: 'true',
      ENC_SERVER_TS_LOG_DIR: join(this.folder, 'logs'),
      ENC_SERVER_TS_FESERVERCONFIGS_PORT: String(fe),
      ENC_SERVER_TS_BESERVERCONFIGS_PORT: String(be),
      ENC_SERVER_TS_FECLIENTCONFIGS_SERVERADDR: `localhost:${fe}`,
      ENC_SERVER_TS_BECLIENTCONFIGS_SERVERADDR: `localhost:${be}`,
    });
    return { cwd, env };
  }

  async type(block: ShellBlock): Promise<void> {
    if (block.kind === 'server') {
      await this.#serve(block.text, block.section);
      return;
    }
    const isAnothers = this.#startedBy !== undefined && this.#startedBy !== block.section;
    if (this.#servers === undefined || isAnothers) await this.#serve('enc-server up', undefined);
    const text = this.#withPorts(block.text);
    const { code, stdout, stderr } = await runCommand('sh', ['-eu', '-c', text], this.#options);
    assert.equal(code, 0, masked(`line ${block.line}: ${stdout}${stderr}`));
  }

  async stop(): Promise<void> {
    await this.#servers?.killAll();
    this.#servers = undefined;
  }

  /** The documents name the default ports, where somebody else's servers may be. */
  #withPorts(text: string): string {
    const [fe, be] = this.#ports;
    return text
      .replaceAll('localhost:7777', `localhost:${fe}`)
      .replaceAll('localhost:8888', `localhost:${be}`);
  }

  async #serve(text: string, section: number | undefined): Promise<void> {
    if (this.#servers !== undefined) {
      this.#servers.signalAll('SIGTERM');
      await this.#servers.exited;
      await this.stop();
    }
    const command = ['sh', '-eu', '-c', this.#withPorts(text)] as const;
    this.#servers = new Running('enc-server', [], { ...this.#options, command: [...command] });
    this.#startedBy = section;
    await this.#servers.saw(/fe listening/).catch((error: Error) => {
      throw new Error(masked(error.message));
    });
  }
}

for (const [name, notRun, runCount] of DOCUMENTS) {
  describe(name, () => {
    const blocks = shellBlocksOf(readRepository(name));
    let machine: Machine;

    before(async () => {
      machine = await Machine.make();
    });
    after(async () => {
      await machine.stop();
      await rm(machine.folder, { recursive: true, force: true });
    });

    it('says of each block that is not run why', () => {
      for (const reason of Object.keys(REASONS) as (keyof typeof REASONS)[]) {
        const count = blocks.filter(({ kind }) => kind === reason).length;
        assert.equal(count, notRun[reason], `${reason}: ${REASONS[reason]}`);
      }
      const run = blocks.filter(({ kind }) => kind === 'run' || kind === 'server');
      assert.equal(run.length, runCount);
    });

    for (const block of blocks) {
      if (block.kind !== 'run' && block.kind !== 'server') continue;
      it(`does what it says at line ${block.line}`, () => machine.type(block));
    }

    it('leaves nothing outside of its home and its folder', async () => {
      const found = (await readdir(machine.folder)).sort();
      assert.deepEqual(found, ['home', 'logs', 'work']);
    });
  });
}
