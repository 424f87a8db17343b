/**
 * Faults under load: `node chaos.js [--rounds N] [--seed S] [--store level|mongo] [--dist FOLDER]`.
 * In each round callers store, replace, read and delete a few records, through a proxy before the
 * front end and one before the back end, while something happens to both. Afterwards what they
 * were answered must be what one unhurried server could have answered. Prints what it did as
 * JSON; ends with 1 and the round's seed if an answer was lost.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { FeClient } from '../../lib/fe/client.ts';
import { Rotation } from '../../lib/fe/rotation.ts';
import { FaultProxy } from '../helpers/fault-proxy.ts';
import { isLinearizable } from '../helpers/register-check.ts';
import { seededRandom } from '../helpers/schedule.ts';
import { Disk, slowSyncs } from './disk.ts';
import { Load } from './load.ts';
import { networkFaults } from './network.ts';
import { ServerProcess } from './servers.ts';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' },
    seed: { type: 'string', default: `${Date.now() % 1_000_000}` },
    store: { type: 'string', default: 'level' },
    dist: { type: 'string', default: fileURLToPath(new URL('../..', import.meta.url)) },
    /** One kind of fault alone. */
    fault: { type: 'string' },
    calm: { type: 'boolean', default: false },
  },
});
const rounds = Number(flags.rounds);
const seed = Number(flags.seed);
const CALLERS = 6;
const IDS = 4;
const WORK_MS = 300;
const CLIENT_TIMEOUT_MS = 4_000;
const READY_MS_MAX = 30_000;
const HOUR_MS = 3_600_000;
const CLOCK = new URL('./clock.js', import.meta.url).href;

class Chaos {
  readonly folder = mkdtempSync(join(tmpdir(), 'enc-server-ts-chaos-'));
  readonly counts: Record<string, number> = {};
  readonly totals = { rounds: 0, operations: 0, unknown: 0, refused: 0 };
  readonly be: ServerProcess;
  readonly fe: ServerProcess;
  beProxy!: FaultProxy;
  feProxy!: FaultProxy;
  mongoProxy: FaultProxy | undefined;
  readonly #disk: Disk | undefined;
  #happened: string[] = [];

  constructor(mongoPort: () => number) {
    const mongo = { ENC_SERVER_TS_BESERVERCONFIGS_MONGODATABASE: `chaos${process.pid}` };
    const uri = () => `mongodb://127.0.0.1:${mongoPort()}/?directConnection=true`;
    const isMongo = flags.store === 'mongo';
    this.#disk = isMongo ? undefined : Disk.open(this.folder);
    this.be = new ServerProcess(
      flags.dist,
      'be',
      ['--data-dir', this.#disk?.path ?? this.folder, '--store', flags.store],
      {
        ...this.#clock('be'),
        ...(isMongo && { ...mongo, ENC_SERVER_TS_BESERVERCONFIGS_MONGOURI: uri() }),
      },
    );
    this.fe = new ServerProcess(flags.dist, 'fe', ['--data-dir', this.folder], {});
  }

  #clock(role: 'be' | 'fe'): NodeJS.ProcessEnv {
    return { NODE_OPTIONS: `--import=${CLOCK}`, CLOCK_FILE: join(this.folder, `${role}.clock`) };
  }

  async start(): Promise<void> {
    await this.be.start();
    this.beProxy = await FaultProxy.open(() => ({ host: '127.0.0.1', port: this.be.port }));
    const address = `127.0.0.1:${this.beProxy.port}`;
    const link = { ENC_SERVER_TS_BECLIENTCONFIGS_SERVERADDR: address };
    this.fe.setEnv({ ...this.#clock('fe'), ...link });
    await this.fe.start();
    this.feProxy = await FaultProxy.open(() => ({ host: '127.0.0.1', port: this.fe.port }));
  }

  async stop(): Promise<void> {
    await this.fe.end('SIGKILL');
    await this.be.end('SIGKILL');
    await this.feProxy?.close();
    await this.beProxy?.close();
    await this.mongoProxy?.close();
    await this.#disk?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Throws, with the seed, if it fails, or if what was answered cannot have been right. */
  async round(roundSeed: number): Promise<void> {
    try {
      await this.#play(roundSeed);
    } catch (thrown) {
      const { message, cause } = thrown as Error;
      throw new Error(`round seed ${roundSeed}: ${message}`, { cause });
    }
  }

  async #play(roundSeed: number): Promise<void> {
    const random = seededRandom(roundSeed);
    const isStepping = random(4) === 0;
    const load = new Load(random, idsOf(roundSeed), !isStepping);
    const clients = Array.from({ length: CALLERS }, () => this.#client());
    const working = Promise.all(clients.map((client) => load.work(client)));
    try {
      await sleep(random(WORK_MS));
      if (!flags.calm) await this.#fault(random);
      if (!flags.calm && isStepping) await this.#stepClocks(random);
      await sleep(WORK_MS);
    } finally {
      // Also after a fault that could not be done: callers work until they are told.
      load.isOver = true;
      await working;
      for (const client of clients) client.close();
    }
    if (isStepping) this.#setClocks(0, 0);
    await this.#untilReady();
    const last = this.#client();
    await load.look(last);
    last.close();
    this.totals.rounds++;
    this.totals.operations += load.operations;
    this.totals.unknown += load.unknown;
    this.totals.refused += load.refused;
    for (const [id, history] of load.histories) {
      if (isLinearizable(history)) continue;
      // Of each run its own: another with this seed may be what it is compared with.
      const file = join(mkdtempSync(join(tmpdir(), 'enc-server-ts-evidence-')), 'round.json');
      const happened = this.#happened;
      writeFileSync(file, JSON.stringify({ happened, refused: load.refusals, history }));
      throw new Error(`the answers for ${id} contradict: ${file}`);
    }
  }

  async #fault(random: (below: number) => number): Promise<void> {
    const faults: Record<string, () => Promise<void>> = {
      killBe: () => this.#restart(this.be, 'SIGKILL', random),
      killFe: () => this.#restart(this.fe, 'SIGKILL', random),
      killBoth: async () => {
        await Promise.all([this.be.end('SIGKILL'), this.fe.end('SIGKILL')]);
        await this.be.start();
        await this.fe.start();
      },
      restartBe: () => this.#restart(this.be, 'SIGTERM', random),
      restartFe: () => this.#restart(this.fe, 'SIGTERM', random),
      rotate: () => this.#rotate(),
      freezeBe: async () => this.be.freeze(200 + random(800)),
      ...networkFaults('Clients', this.feProxy, random),
      ...networkFaults('Servers', this.beProxy, random),
      ...(this.#disk !== undefined && this.#diskFaults(this.#disk, random)),
      ...(this.mongoProxy !== undefined && networkFaults('Mongo', this.mongoProxy, random)),
    };
    const names = Object.keys(faults);
    const drawn = names[random(names.length)] ?? 'killBe';
    const name = flags.fault ?? drawn;
    const fault = faults[name];
    if (fault === undefined) throw new Error(`there is no fault ${name} here`);
    this.#happened = [`${name} at ${performance.now()}`];
    this.counts[name] = (this.counts[name] ?? 0) + 1;
    await fault();
  }

  #diskFaults(disk: Disk, random: (below: number) => number): Record<string, () => Promise<void>> {
    const lose = async (how: () => void) => {
      // Of the syncs that are under way then, ext4 says of some that they are done.
      await this.be.whileStopped(how);
      await sleep(random(2 * WORK_MS));
      await this.be.end('SIGKILL');
      await disk.unmount();
      disk.mount();
      await this.be.start();
    };
    return {
      fillDisk: async () => {
        disk.fill();
        await sleep(2 * WORK_MS);
        disk.empty();
      },
      readOnlyDisk: () => lose(() => disk.turnReadOnly()),
      cutPower: () => lose(() => disk.cutPower()),
      slowDisk: async () => {
        const isSlow = await slowSyncs(this.be.pid ?? 0, 5 + random(100), 3 * WORK_MS);
        if (!isSlow) this.counts['slowDisk, not tried: no strace'] = 1;
      },
    };
  }

  /** Up to an hour, ahead or back, each server on its own. */
  async #stepClocks(random: (below: number) => number): Promise<void> {
    this.counts['stepClocks'] = (this.counts['stepClocks'] ?? 0) + 1;
    const step = () => (random(2) === 0 ? 1 : -1) * random(HOUR_MS);
    this.#setClocks(step(), step());
    await sleep(WORK_MS);
  }

  #setClocks(beMs: number, feMs: number): void {
    writeFileSync(join(this.folder, 'be.clock'), `${beMs}`);
    writeFileSync(join(this.folder, 'fe.clock'), `${feMs}`);
  }

  /** The whole life of an entry of the keyring, while callers work. */
  async #rotate(): Promise<void> {
    const rotation = new Rotation({
      path: join(this.folder, 'fe', 'keyring.json'),
      link: { address: { host: '127.0.0.1', port: this.be.port }, timeoutMs: READY_MS_MAX },
    });
    await rotation.add();
    await rotation.activate(READY_MS_MAX, () => undefined);
    await rotation.rewrap({});
    await rotation.retire();
  }

  async #restart(
    server: ServerProcess,
    signal: 'SIGKILL' | 'SIGTERM',
    random: (below: number) => number,
  ): Promise<void> {
    const code = await server.end(signal);
    if (signal === 'SIGTERM' && code !== 0) throw new Error(`it ended with ${code} when asked to`);
    await sleep(random(200));
    await server.start();
  }

  #client(): FeClient {
    return new FeClient({
      address: { host: '127.0.0.1', port: this.feProxy.port },
      timeoutMs: CLIENT_TIMEOUT_MS,
      attemptsMax: 1,
    });
  }

  /** Until a write is taken again. */
  async #untilReady(): Promise<void> {
    const deadlineMs = Date.now() + READY_MS_MAX;
    for (;;) {
      const client = this.#client();
      try {
        await client.store('ready', Buffer.from('x'));
        return;
      } catch (error) {
        if (Date.now() > deadlineMs) throw new Error('they did not recover', { cause: error });
        await sleep(20);
      } finally {
        client.close();
      }
    }
  }
}

function idsOf(roundSeed: number): string[] {
  return Array.from({ length: IDS }, (_none, index) => `round ${roundSeed} record ${index}`);
}

async function main(): Promise<void> {
  const [, host = '127.0.0.1', port = '27017'] =
    /^mongodb:\/\/(?:[^@/]*@)?([^:/?,]+)(?::(\d+))?/.exec(process.env['MONGODB_URI'] ?? '') ?? [];
  const mongo =
    flags.store === 'mongo'
      ? await FaultProxy.open(() => ({ host, port: Number(port) }))
      : undefined;
  const chaos = new Chaos(() => mongo?.port ?? 0);
  chaos.mongoProxy = mongo;
  try {
    await chaos.start();
    for (let round = 0; round < rounds; round++) await chaos.round(seed + round);
  } catch (error) {
    const { message, cause } = error as Error;
    process.stderr.write(`${message}${cause === undefined ? '' : `: ${cause}`}\n`);
    process.exitCode = 1;
  } finally {
    const { totals, counts } = chaos;
    process.stdout.write(`${JSON.stringify({ seed, store: flags.store, ...totals, counts })}\n`);
    await chaos.stop();
  }
}

await main();
