/** Workers of a front end: how they are started, killed, started again and ended. */
import assert from 'node:assert/strict';
import { readdir, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { bytesField } from '../../lib/protocol/fields.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import {
  childrenOf,
  isListening,
  type RunningUp,
  run,
  startUp,
  until,
  untilGone,
} from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';
import { frameOf, statusOf, Wire } from '../helpers/wire.ts';
import { infoOf, metricsOf, sampleIn, type WorkerWire, wiresToAll } from '../helpers/workers.ts';

const RECORD = Buffer.from('kept');

describe('workers', () => {
  let folder: string;
  let up: RunningUp;
  let wires: WorkerWire[];
  const start = async (env: NodeJS.ProcessEnv = {}) => {
    up = await startUp(folder, ['--workers', '2'], { env });
    wires = await wiresToAll(up.fePort, 2);
  };
  beforeEach(async () => {
    folder = await temporaryFolder();
    wires = [];
  });
  afterEach(async () => {
    for (const { wire } of wires) wire.close();
    await up.killAll();
    await rm(folder, { recursive: true });
  });

  /** What the two connections lead to. */
  const both = () => wires as [WorkerWire, WorkerWire];
  const pidsOfWorkers = () => wires.map(({ info }) => info.pid);
  const client = () => new FeClient({ address: { host: '127.0.0.1', port: up.fePort } });
  const untilClosed = async () => {
    await until('the port to be closed', async () => !(await isListening(up.fePort)) || undefined);
  };
  /** Resolves once a worker of this number serves that is another process than `pid`. */
  const untilAnother = async (number: number, pid: number) => {
    await until(`another worker ${number}`, async () => {
      const wire = await Wire.open(up.fePort);
      wires.push({ wire, info: await infoOf(wire).catch(() => ({ ...both()[0].info })) });
      const { info } = wires.at(-1) as WorkerWire;
      return (info.worker === number && info.pid !== pid) || undefined;
    });
  };

  it('starts one again that was killed; the other goes on, and nothing stored is lost', async () => {
    await start();
    const [first, second] = both();
    const callers = client();
    const { key } = await callers.store('a', RECORD);
    const before = await metricsOf(up.fePort);
    process.kill(first.info.pid, 'SIGKILL');
    assert.equal((await first.wire.rest()).toString(), '');
    for (let count = 0; count < 20; count++) {
      second.wire.send('PING\n');
      assert.equal(await second.wire.line(), 'PONG');
    }
    // Whichever worker had it: it is asked for again at another.
    assert.deepEqual((await callers.retrieve('a', key)).record, RECORD);
    await untilAnother(1, first.info.pid);
    const after = await metricsOf(up.fePort);
    assert.equal(sampleIn(after, 'workers'), 2);
    assert.equal(sampleIn(after, 'worker_restarts_total'), 1);
    // Counters never fall, for whoever takes that for a new start.
    for (const name of ['text info ok', 'frames store ok']) {
      const [was, is] = [before, after].map((page) => sampleIn(page, 'requests_total', name));
      assert.ok(was !== undefined && is !== undefined && is >= was, `${name}: ${was}, ${is}`);
    }
    const begun = [before, after].map((page) => sampleIn(page, 'process_start_time_seconds'));
    assert.equal(begun[0], begun[1]);
    callers.close();
  });

  it('comes back when all of them were killed at once, again and again', async () => {
    await start();
    for (let round = 0; round < 3; round++) {
      const pids = childrenOf(up.fePid);
      assert.equal(pids.length, 2);
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      await untilGone(...pids);
      await until('both to serve', async () => {
        const page = await metricsOf(up.fePort).catch(() => undefined);
        return (page && sampleIn(page, 'workers') === 2) || undefined;
      });
    }
    const callers = client();
    const { key } = await callers.store('a', RECORD);
    assert.deepEqual((await callers.retrieve('a', key)).record, RECORD);
    callers.close();
  });

  it('gives the room of the connections of a killed worker to others', async () => {
    await start({ ENC_SERVER_TS_FESERVERCONFIGS_CONNECTIONSMAX: '4' });
    const [first] = both();
    for (let count = 0; count < 2; count++) {
      const wire = await Wire.open(up.fePort);
      wires.push({ wire, info: await infoOf(wire) });
    }
    process.kill(first.info.pid, 'SIGKILL');
    await first.wire.rest();
    await until('room', async () => {
      const wire = await Wire.open(up.fePort);
      wire.send('PING\n');
      const answer = await wire.line().catch(() => '');
      wire.close();
      return answer === 'PONG' || undefined;
    });
  });

  it('breaks connections that a killed worker had not taken yet', async () => {
    await start();
    for (const pid of pidsOfWorkers()) process.kill(pid, 'SIGSTOP');
    const waiting: Wire[] = [];
    for (let count = 0; count < 6; count++) waiting.push(await Wire.open(up.fePort));
    for (const pid of pidsOfWorkers()) process.kill(pid, 'SIGKILL');
    for (const wire of waiting) {
      wire.send('PING\n');
      assert.ok(!(await wire.rest()).toString().includes('PONG'));
    }
    await until('nobody to be counted but who asks', async () => {
      const page = await metricsOf(up.fePort).catch(() => undefined);
      return (page && sampleIn(page, 'connections') === 1) || undefined;
    });
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`answers what is under way at each worker on ${signal} to all processes`, async () => {
      await start();
      const store = frameOf(OPCODE.STORE, 1, [bytesField(FIELD.ID, RECORD)], RECORD);
      const callers = [await Wire.open(up.fePort), await Wire.open(up.fePort)];
      process.kill(up.bePid, 'SIGSTOP');
      for (const wire of callers) wire.send(store);
      await until('both to wait for the back end', async () => {
        const underWay = sampleIn(await metricsOf(up.fePort), 'requests_under_way') ?? 0;
        // The one that asks is one, too.
        return underWay === 3 || undefined;
      });
      up.signalAll(signal);
      await untilClosed();
      process.kill(up.bePid, 'SIGCONT');
      for (const wire of callers) {
        const told = await wire.frames(2);
        assert.deepEqual([told[0]?.code, told.slice(1).map(statusOf)], [OPCODE.GOAWAY, ['OK']]);
      }
      assert.equal(await up.exited, 0);
      assert.equal(up.stderr, '');
      await untilGone(...pidsOfWorkers());
    });
  }

  it('leaves none behind when the parent is killed', async () => {
    await start();
    process.kill(up.fePid, 'SIGKILL');
    assert.equal(await up.exited, 1);
    await untilGone(...pidsOfWorkers());
  });

  it('leaves none behind when a second signal hurries', async () => {
    await start();
    // Half of a frame keeps a worker waiting for the rest.
    const socket = connect(up.fePort, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(Buffer.from([0, 0, 1, 0, 1]));
    for (const { wire } of await wiresToAll(up.fePort, 2)) wire.close();
    up.process.kill('SIGTERM');
    await untilClosed();
    up.process.kill('SIGTERM');
    assert.equal(await up.exited, 1);
    socket.destroy();
    await untilGone(...pidsOfWorkers());
  });

  it('has all workers follow a rotation of the keyring', async () => {
    await start();
    const be = new BeClient({ address: { host: '127.0.0.1', port: up.bePort } });
    const frontEnds = async () => (await be.info())['frontEnds'];
    // Two connections of each worker.
    assert.deepEqual(await frontEnds(), [{ epoch: 1, connections: 4 }]);
    const callers = client();
    const { key } = await callers.store('a', RECORD);
    const flags = ['--data-dir', folder, ...['--be', `127.0.0.1:${up.bePort}`]];
    for (const step of [['add'], ['activate', '--wait', '20s'], ['rewrap'], ['retire']]) {
      const done = await run('enc-server', ['keys', ...step, ...flags]);
      assert.equal(done.code, 0, done.stderr);
    }
    await until('all to have followed', async () => {
      const told = JSON.stringify(await frontEnds());
      return told === '[{"epoch":4,"connections":4}]' || undefined;
    });
    assert.deepEqual((await callers.retrieve('a', key)).record, RECORD);
    callers.close();
    be.close();
  });

  it('has a log file for each process, each of them whole, however often they are followed', async () => {
    const logs = join(folder, 'logs');
    await start({
      ENC_SERVER_TS_LOG_DIR: logs,
      ENC_SERVER_TS_LOG_LEVEL: 'debug',
      ENC_SERVER_TS_LOG_FILEBYTESMAX: '4096',
      ENC_SERVER_TS_LOG_FILESMAX: '8',
    });
    for (const { wire } of wires) wire.send('PING\n'.repeat(500));
    for (const { wire } of wires) {
      for (let line = 0; line < 500; line++) assert.equal(await wire.line(), 'PONG');
    }
    const pids = new Set([up.fePid, ...pidsOfWorkers()]);
    assert.equal(await up.stop(), 0);
    const files = (await readdir(logs)).filter((name) => name.startsWith('feserver.'));
    assert.ok(files.length <= 8 && files.length >= 3, files.join(' '));
    const writers = new Set<number>();
    for (const name of files) {
      const lines = (await readFile(join(logs, name), 'utf8')).trimEnd().split('\n');
      const pid = Number(/-(\d+)(?:\.\d+)?\.log$/.exec(name)?.[1]);
      for (const line of lines) assert.equal(JSON.parse(line).pid, pid);
      writers.add(pid);
    }
    assert.deepEqual(writers, pids);
  });
});
