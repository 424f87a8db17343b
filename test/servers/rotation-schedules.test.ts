/**
 * A keyring goes through its whole life while two front ends work and learn of it late. A seed
 * decides every interleaving; what the callers see must be what one server alone could have
 * answered. More of it: ROTATION_SCHEDULES=100000, and ROTATION_SEED to begin elsewhere.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { BeService, type BeSession } from '../../lib/be/service.ts';
import { open, type RecordName, seal } from '../../lib/crypto/envelope.ts';
import { decodeHead } from '../../lib/crypto/head.ts';
import type { Keyring } from '../../lib/crypto/keyring.ts';
import { activateEntry, addEntry, retireEntry } from '../../lib/crypto/keyring-states.ts';
import { randomKey } from '../../lib/crypto/random.ts';
import { EncServerError } from '../../lib/errors.ts';
import { isExpired } from '../../lib/fe/calls.ts';
import { Placement, type RecordStore } from '../../lib/fe/placement.ts';
import { Ring } from '../../lib/fe/ring.ts';
import { sweepLeftovers } from '../../lib/fe/rotation.ts';
import type { RingKeeper } from '../../lib/fe/with-ring.ts';
import { Budget } from '../../lib/net/budget.ts';
import { RequestContext } from '../../lib/net/request.ts';
import { OWN_SESSION } from '../../lib/net/session.ts';
import { DEFAULT_LIMITS } from '../../lib/protocol/limits.ts';
import { PlainStore } from '../helpers/plain-store.ts';
import { isLinearizable, type Seen } from '../helpers/register-check.ts';
import { Schedule } from '../helpers/schedule.ts';

const SCHEDULES = Number(process.env['ROTATION_SCHEDULES'] ?? 3_000);
const FIRST_SEED = Number(process.env['ROTATION_SEED'] ?? 1);
const NAMES = ['alice', 'bob'].map((id) => ({ namespace: Buffer.alloc(0), id: Buffer.from(id) }));
const KEY = Buffer.from(Array.from({ length: 32 }, (_none, index) => index));
const OPERATIONS = 7;
const BYTES_MAX = Number.MAX_SAFE_INTEGER;
/** Many times what a move may take. */
const HOUR_MS = 3_600_000;

/** All that one schedule has. */
class World {
  readonly schedule: Schedule;
  readonly be: BeService;
  readonly histories = NAMES.map((): Seen[] => []);
  /** The keyring's file. */
  file: Keyring = {
    keyringId: Buffer.alloc(16, 7),
    epoch: 1,
    entries: [{ number: 1, state: 'active', secret: randomKey() }],
    wrapEntries: [{ number: 1, state: 'active', secret: randomKey() }],
  };
  values = 0;

  constructor(seed: number) {
    this.schedule = new Schedule(seed);
    const wait = () => this.schedule.gate();
    const store = new PlainStore(() => Date.now(), wait);
    this.be = new BeService(store, new Budget(BYTES_MAX), DEFAULT_LIMITS);
  }
}

/** One process that talks to the back end: requests and answers are on their way for a while. */
class Process implements RecordStore, RingKeeper {
  readonly takesConditions = true;
  readonly session: BeSession = { epoch: undefined };
  readonly placement = new Placement(this, this, new Budget(BYTES_MAX));
  ring: Ring;
  killed = false;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
    this.ring = new Ring(world.file);
  }

  async greet(keyring: Keyring): Promise<void> {
    await this.#exchange(() => this.#world.be.hello(this.session, keyring, newContext()));
  }

  async renew(): Promise<boolean> {
    await this.#world.schedule.gate();
    const newest = this.#world.file;
    if (newest.epoch <= this.ring.epoch) return true;
    try {
      await this.greet(newest);
      this.ring = new Ring(newest);
    } catch (error) {
      // Another one was faster with a still newer one.
      assert.equal((error as EncServerError).code, 'STALE_EPOCH');
    }
    return true;
  }

  put: RecordStore['put'] = (key, value, condition, call) =>
    this.#exchange(() =>
      this.#world.be.put(asker(call), key, value, condition ?? { kind: 'always' }, newContext()),
    );

  get: RecordStore['get'] = (key, acceptBytes, call) =>
    this.#exchange(() => this.#world.be.get(asker(call), key, acceptBytes, newContext()));

  head: RecordStore['head'] = (key, call) =>
    this.#exchange(() => this.#world.be.head(asker(call), key, newContext()));

  remove: RecordStore['remove'] = (key, condition, call) =>
    this.#exchange(() =>
      this.#world.be.remove(asker(call), key, condition ?? { kind: 'always' }, newContext()),
    );

  scan: RecordStore['scan'] = async (prefix, after, limit, call) => {
    const page = await this.#exchange(() =>
      this.#world.be.scan(asker(call), prefix, after, limit, newContext()),
    );
    return { items: page.items, next: page.more ? page.items.at(-1)?.key : undefined };
  };

  /** What a killed process sent may still arrive; of the answer nobody hears. */
  async #exchange<T>(work: () => Promise<T>): Promise<T> {
    if (this.killed) return await new Promise(() => undefined);
    await this.#world.schedule.gate();
    const settled = await work().then(
      (value) => () => value,
      (error: unknown) => () => {
        throw error;
      },
    );
    await this.#world.schedule.gate();
    if (this.killed) return await new Promise(() => undefined);
    return settled();
  }
}

function asker(call: Parameters<RecordStore['head']>[1]): BeSession {
  return { epoch: call?.epoch };
}

function newContext(): RequestContext {
  return new RequestContext(OWN_SESSION, HOUR_MS);
}

/** One caller's requests, one after another. */
async function client(world: World, process: Process): Promise<void> {
  const { random } = world.schedule;
  const known = NAMES.map(() => '');
  for (let count = 0; count < OPERATIONS; count++) {
    await world.schedule.gate();
    const which = random(NAMES.length);
    const name = NAMES[which] as RecordName;
    const seen = newSeen(world, known[which] ?? '');
    world.histories[which]?.push(seen);
    try {
      seen.found = await ask(world, process, name, seen);
      seen.outcome = 'ok';
      known[which] = seen.found.revision ?? known[which] ?? '';
    } catch (error) {
      seen.outcome = error instanceof EncServerError ? error.code : String(error);
      assert.match(seen.outcome, /^(CONFLICT|NOT_FOUND)$/, `no caller sees ${error}`);
    }
    seen.answeredAt = world.schedule.step;
    seen.clockAnswered = Date.now();
  }
}

function newSeen(world: World, revision: string): Seen {
  const { random } = world.schedule;
  const kinds = ['put', 'create', 'exchange', 'remove', 'get', 'get'] as const;
  const kind = kinds[random(kinds.length)] ?? 'get';
  const isWrite = kind === 'put' || kind === 'create' || kind === 'exchange';
  return {
    kind: kind === 'exchange' && revision === '' ? 'get' : kind,
    calledAt: world.schedule.step,
    answeredAt: Number.POSITIVE_INFINITY,
    clockCalled: Date.now(),
    clockAnswered: Number.POSITIVE_INFINITY,
    ...(isWrite && {
      value: `value ${++world.values}`,
      expiryMs: random(3) === 0 ? Date.now() + 1 + random(5) : 0,
      expected: revision,
    }),
  };
}

async function ask(world: World, process: Process, name: RecordName, seen: Seen) {
  const { kind, value = '', expiryMs = 0, expected = '' } = seen;
  const { placement, ring } = process;
  if (kind === 'get' || kind === 'wrong') {
    const { header, body, revision, askedAtMs } = await placement.get(name, BYTES_MAX, {});
    if (isExpired(header, askedAtMs)) throw new EncServerError('NOT_FOUND', 'by its own time');
    const { record } = open(header, body, name, KEY);
    return { value: `${record}`, revision: revision.toString('hex') };
  }
  if (kind === 'remove') {
    return { there: await placement.remove(name, { kind: 'always' }, {}) };
  }
  const wrapped = world.schedule.random(2) === 0 ? ring.wrapEntry : undefined;
  const record = Buffer.from(value);
  const sealed = { ...seal({ name, key: KEY, record, expiryMs, wrapped }), expiryMs };
  const conditions = {
    put: { kind: 'always' },
    create: { kind: 'absent' },
    exchange: { kind: 'revision', revision: Buffer.from(expected, 'hex') },
  } as const;
  const { revision, replaced } = await placement.put(name, sealed, conditions[kind], {});
  return { revision: revision.toString('hex'), there: replaced };
}

/** Learns of newer keyrings by itself, now and then. */
async function reload(world: World, process: Process, until: () => boolean): Promise<void> {
  while (!until()) {
    for (let pause = world.schedule.random(20); pause > 0; pause--) await world.schedule.gate();
    await process.renew();
  }
}

/** Moves what lies under the old entry; killed somewhere, unless it is the last time. */
async function rewrap(world: World, stepsMax: number): Promise<void> {
  const mover = new Process(world);
  const killed = (async () => {
    for (let step = 0; step < stepsMax; step++) await world.schedule.gate();
    mover.killed = true;
  })();
  const moved = (async () => {
    await mover.greet(world.file);
    const { old, epoch } = mover.ring;
    assert.ok(old);
    const { items } = await mover.scan(old.entryPrefix, undefined, 100, { epoch });
    await Promise.all(
      items.map(({ key, head }) =>
        mover.placement.move(old.open(key, decodeHead(head).sealedId), {}),
      ),
    );
  })();
  await (stepsMax === Number.POSITIVE_INFINITY ? moved : Promise.race([killed, moved]));
}

async function operate(world: World, frontEnds: readonly Process[]): Promise<void> {
  const { schedule } = world;
  const pause = async () => {
    for (let count = schedule.random(30); count > 0; count--) await schedule.gate();
  };
  await pause();
  world.file = addEntry(world.file);
  while (frontEnds.some(({ session }) => session.epoch !== world.file.epoch)) await schedule.gate();
  world.file = activateEntry(world.file);
  await pause();
  for (let kills = schedule.random(3); kills > 0; kills--) {
    await rewrap(world, schedule.random(40));
    await pause();
  }
  await rewrap(world, Number.POSITIVE_INFINITY);
  const last = new Process(world);
  const { old, epoch } = last.ring;
  const { items } = await last.scan(old?.entryPrefix ?? Buffer.of(1), undefined, 1, { epoch });
  assert.equal(items.length, 0, 'nothing is left under the old entry');
  world.file = retireEntry(world.file);
  await pause();
  await last.renew();
  await sweepLeftovers(last, last.ring);
}

async function tick(world: World, until: () => boolean): Promise<void> {
  while (!until()) {
    await world.schedule.gate();
    mock.timers.tick(world.schedule.random(2));
  }
}

async function runSchedule(seed: number): Promise<World> {
  const world = new World(seed);
  const { schedule } = world;
  const frontEnds = [new Process(world), new Process(world)];
  const progress = { done: false };
  const all = async () => {
    await Promise.all(frontEnds.map((process) => process.greet(world.file)));
    const beside = [
      ...frontEnds.map((process) => reload(world, process, () => progress.done)),
      tick(world, () => progress.done),
    ];
    const clients = frontEnds.flatMap((process) => [
      client(world, process),
      client(world, process),
    ]);
    await Promise.all([...clients, operate(world, frontEnds)]);
    progress.done = true;
    await Promise.all(beside);
  };
  await schedule.run(all());
  return world;
}

beforeEach(() => mock.timers.enable({ apis: ['Date'], now: 1_000_000 }));
afterEach(() => mock.timers.reset());

test(`a rotation under ${SCHEDULES} schedules shows each caller one record`, async () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SCHEDULES; seed++) {
    const world = await runSchedule(seed).catch((cause) => {
      throw new Error(`ROTATION_SEED=${seed}: ${(cause as Error).stack}`, { cause });
    });
    for (const history of world.histories) {
      assert.ok(
        isLinearizable(history),
        `ROTATION_SEED=${seed}: ${JSON.stringify(history, undefined, 1)}`,
      );
    }
  }
});
