/**
 * What an attack costs honest callers: `node abuse-figures.js [ROUNDS] [SECONDS]`. The same load
 * runs alone, alongside the attack of `attack.ts`, and alongside a process that burns as much
 * processor time as attack and front end together spend on it; all in one run, in turns.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { median } from './results.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const rounds = Number(process.argv[2] ?? 3);
const seconds = Number(process.argv[3] ?? 5);
const CALLERS = 64;
const BYTES = 1024;
const CLOCK_TICKS_PER_S = 100;
const runFile = promisify(execFile);

interface Rate {
  readonly perSecond: number;
}

interface Load {
  readonly store: Rate;
  readonly retrieve: Rate;
}

async function node(program: string, ...args: readonly (string | number)[]): Promise<string> {
  const { stdout } = await runFile(process.execPath, [here(program), ...args.map(String)]);
  return stdout;
}

/** Processor time of a process so far, in seconds (proc(5), utime and stime). */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_S;
}

const folder = mkdtempSync(join(tmpdir(), 'enc-server-ts-abuse-'));
const flags = ['--fe-port', '0', '--be-port', '0', '--data-dir', folder];
const up = spawn(process.execPath, [here('../bin/enc-server.js'), 'up', ...flags], {
  stdio: ['ignore', 'pipe', 'inherit'],
  env: { ...process.env, ENC_SERVER_TS_LOG_DIR: '' },
});
let said = '';
const port = await new Promise<number>((resolve) => {
  up.stdout.on('data', (chunk) => {
    said += chunk;
    const found = /fe listening on \S+:(\d+)/.exec(said);
    if (found) resolve(Number(found[1]));
  });
});

async function load(): Promise<Load> {
  return JSON.parse(await node('./load.js', port, CALLERS, seconds, BYTES));
}

const rows: Record<'alone' | 'attacked' | 'neutral', Load[]> = {
  alone: [],
  attacked: [],
  neutral: [],
};
const facts: string[] = [];
try {
  await load();
  for (let round = 0; round < rounds; round++) {
    rows.alone.push(await load());
    // What the attack costs the servers while nobody else uses them.
    const pids = serverPids();
    const before = pids.map(cpuOf);
    const idle = JSON.parse(await node('./attack.js', port, seconds));
    const servers = pids.reduce((sum, pid, index) => sum + cpuOf(pid) - (before[index] ?? 0), 0);
    const share = idle.cpuShare + servers / seconds;
    const attack = node('./attack.js', port, 2 * seconds + 1);
    rows.attacked.push(await load());
    const done = JSON.parse(await attack);
    const burn = node('./burn.js', share, 2 * seconds + 1);
    rows.neutral.push(await load());
    await burn;
    facts.push(
      `attack: ${done.opened} connections, ${(done.garbageBytes / 1e6).toFixed(0)} MB of garbage, ` +
        `${(share * 100).toFixed(0)} % of a core, ${((servers / seconds) * 100).toFixed(0)} % in the servers`,
    );
  }
} finally {
  up.kill('SIGTERM');
  await new Promise((resolve) => up.once('exit', resolve));
  rmSync(folder, { recursive: true, force: true });
}

function serverPids(): number[] {
  const children = readFileSync(`/proc/${up.pid}/task/${up.pid}/children`, 'utf8');
  return children.trim().split(' ').map(Number);
}

const out = (line: string) => process.stdout.write(`${line}\n`);
for (const fact of facts) out(fact);
for (const phase of ['store', 'retrieve'] as const) {
  const rate = (name: keyof typeof rows) => median(rows[name].map((one) => one[phase].perSecond));
  out(
    `${phase.padEnd(8)} alone ${rate('alone').toFixed(0)}/s, attacked ${rate('attacked').toFixed(0)}/s, ` +
      `beside a neutral process ${rate('neutral').toFixed(0)}/s: ` +
      `attacked : neutral = ${(rate('attacked') / rate('neutral')).toFixed(2)}`,
  );
}
