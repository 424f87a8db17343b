/**
 * Mixed load for many minutes: `node soak.js [MINUTES] [PLOT.svg] [--seed S] [--dist FOLDER]`.
 * Callers come and go, with frames, text and HTTP; memory and descriptors of both servers are
 * looked at every second. Ends with 1, and the reason, if one of them grows: resident memory by
 * more than 1 MiB a minute over the last 80 % of the time (or by more than `--grown MIB` in all),
 * or open descriptors by more than 5. Prints what it saw as JSON, and draws it.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { drawKey, FeClient } from '../../lib/fe/client.ts';
import { http } from '../helpers/http.ts';
import { seededRandom } from '../helpers/schedule.ts';
import { ServerProcess } from './servers.ts';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: `${Date.now() % 1_000_000}` },
    dist: { type: 'string', default: fileURLToPath(new URL('../..', import.meta.url)) },
    /** For runs in which caches still fill: MiB from before to after, in place of the rate. */
    grown: { type: 'string' },
  },
});
const minutes = Number(positionals[0] ?? 10);
const plot = positionals[1];
const seed = Number(flags.seed);
const CALLERS = 16;
const SAMPLE_MS = 1_000;
const RECORDS = 2_000;
const MIB = 1024 * 1024;
const GROWTH_MIB_MAX = 1;
const DESCRIPTORS_MAX = 5;
/** The first part of a run fills caches and compiles what is hot. */
const WARM_SHARE = 0.2;

interface Sample {
  readonly minute: number;
  readonly residentMib: number;
  readonly descriptors: number;
}

function sampleOf(pid: number, minute: number): Sample {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const residentMib = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  return { minute, residentMib, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

type Random = (below: number) => number;

/** One caller after another: each does a little, in one dialect, and goes. */
async function churn(
  port: number,
  random: Random,
  isOver: () => boolean,
  count: () => void,
): Promise<void> {
  for (let turn = 0; !isOver(); turn++) {
    if (turn % 3 === 0) await overText(port, random);
    else if (turn % 3 === 1) await overHttp(port, random);
    else await overFrames(port, random);
    count();
  }
}

async function overFrames(port: number, random: Random): Promise<void> {
  const client = new FeClient({ address: { host: '127.0.0.1', port } });
  for (let turn = 0; turn < 20; turn++) {
    const id = `soak ${random(RECORDS)}`;
    const key = drawKey();
    await client.store(id, Buffer.alloc(random(4_096), 7), { key });
    await client.retrieve(id, key).catch(() => undefined);
    if (turn % 5 === 0) await client.delete(id);
  }
  if (random(20) === 0) await client.store('large', Buffer.alloc(2 * MIB, 1));
  client.close();
}

/** Also one that breaks off in the middle. */
async function overText(port: number, random: Random): Promise<void> {
  await new Promise<void>((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
    socket.on('data', () => undefined);
    const id = random(RECORDS);
    socket.write(`STORE text-${id} hello\nPING\nRETRIEVE text-${id} nonsense\n`);
    if (random(5) === 0) socket.write('STORE cut', () => socket.destroy());
    else socket.write('QUIT\n');
  });
}

async function overHttp(port: number, random: Random): Promise<void> {
  const path = `/v1/records/http-${random(RECORDS)}`;
  const stored = await http(port, 'PUT', path, { body: 'hello' });
  const { key } = JSON.parse(stored.body.toString()) as { key: string };
  await http(port, 'GET', path, { headers: { 'Enc-Record-Key': key } });
}

/** MiB a minute, by least squares over what comes after the warm part. */
function growthOf(samples: readonly Sample[]): number {
  const warm = samples.slice(Math.floor(samples.length * WARM_SHARE));
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [x, y] = [mean(warm.map((s) => s.minute)), mean(warm.map((s) => s.residentMib))];
  const above = warm.reduce((sum, s) => sum + (s.minute - x) * (s.residentMib - y), 0);
  const below = warm.reduce((sum, s) => sum + (s.minute - x) ** 2, 0);
  return above / below;
}

function draw(all: Readonly<Record<string, readonly Sample[]>>): string {
  const [width, height] = [800, 300];
  const top = Math.max(...Object.values(all).flatMap((s) => s.map((one) => one.residentMib))) * 1.1;
  const colours = ['#1f77b4', '#d62728'];
  const lines = Object.entries(all).map(([name, samples], index) => {
    const points = samples.map(
      ({ minute, residentMib }) =>
        `${((minute / minutes) * width).toFixed(1)},${(height - (residentMib / top) * height).toFixed(1)}`,
    );
    const colour = colours[index];
    return (
      `<polyline fill="none" stroke="${colour}" points="${points.join(' ')}"/>` +
      `<text x="10" y="${20 + 20 * index}" fill="${colour}">${name}</text>`
    );
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-40 -10 ${width + 60} ${height + 50}" ` +
    `font-family="sans-serif" font-size="14"><rect width="${width}" height="${height}" ` +
    `fill="none" stroke="#999"/>${lines.join('')}<text x="0" y="${height + 20}">0</text>` +
    `<text x="${width - 60}" y="${height + 20}">${minutes} min</text>` +
    `<text x="-38" y="10">${top.toFixed(0)} MiB</text></svg>\n`
  );
}

/** While nobody is connected. */
async function idle(server: ServerProcess): Promise<Sample> {
  await sleep(2_000);
  return sampleOf(server.pid ?? 0, 0);
}

function fail(words: string): void {
  process.stderr.write(`${words} (seed ${seed})\n`);
  process.exitCode = 1;
}

const folder = mkdtempSync(join(tmpdir(), 'enc-server-ts-soak-'));
const be = new ServerProcess(flags.dist, 'be', ['--data-dir', folder], {});
await be.start();
const address = { ENC_SERVER_TS_BECLIENTCONFIGS_SERVERADDR: `127.0.0.1:${be.port}` };
const fe = new ServerProcess(flags.dist, 'fe', ['--data-dir', folder], address);
await fe.start();
try {
  const servers = { 'front end': fe, 'back end': be };
  const samples: Record<string, Sample[]> = { 'front end': [], 'back end': [] };
  const state = { isOver: false, callers: 0 };
  // Once, so that what is loaded at its first use is.
  const first = seededRandom(seed);
  await overHttp(fe.port, first);
  await overFrames(fe.port, first);
  const before = { fe: await idle(fe), be: await idle(be) };
  const sinceMs = Date.now();
  const load = Promise.all(
    Array.from({ length: CALLERS }, (_none, caller) =>
      churn(
        fe.port,
        // Each its own: what it does must not depend on who is answered first.
        seededRandom(seed + caller),
        () => state.isOver,
        () => state.callers++,
      ),
    ),
  );
  load.catch(() => undefined);
  while (Date.now() - sinceMs < minutes * 60_000) {
    await Promise.race([sleep(SAMPLE_MS), load]);
    const minute = (Date.now() - sinceMs) / 60_000;
    for (const [name, server] of Object.entries(servers)) {
      samples[name]?.push(sampleOf(server.pid ?? 0, minute));
    }
  }
  state.isOver = true;
  await load;
  const after = { fe: await idle(fe), be: await idle(be) };
  const growth = Object.fromEntries(
    Object.entries(samples).map(([name, all]) => [name, Number(growthOf(all).toFixed(2))]),
  );
  if (plot !== undefined) writeFileSync(plot, draw(samples));
  const ends = Object.fromEntries(
    Object.entries(samples).map(([name, all]) => [
      name,
      [all.at(0)?.residentMib, all.at(-1)?.residentMib].map((mib) => Math.round(mib ?? 0)),
    ]),
  );
  const facts = {
    seed,
    minutes,
    callers: state.callers,
    growthMibPerMinute: growth,
    residentMib: ends,
  };
  process.stdout.write(`${JSON.stringify({ ...facts, before, after })}\n`);
  const more = (what: 'descriptors' | 'residentMib') =>
    Math.max(after.fe[what] - before.fe[what], after.be[what] - before.be[what]);
  const isFlat =
    flags.grown === undefined
      ? Object.values(growth).every((one) => one <= GROWTH_MIB_MAX)
      : more('residentMib') <= Number(flags.grown);
  if (!isFlat) fail('memory grows');
  if (more('descriptors') > DESCRIPTORS_MAX) fail('descriptors leak');
} finally {
  await fe.end('SIGKILL');
  await be.end('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
