/**
 * `node profile.js [--seconds N] [--out FOLDER]`: where both servers spend their time under the
 * load of 64 callers who store and retrieve 1 KiB. Writes a CPU profile of each (for Chrome's
 * developer tools) and a flame graph, and prints the functions that take most.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { flameOf, type Profile, selfTimes } from './flame.ts';
import { measure } from './measure.ts';
import { startOurs } from './peers/servers.ts';

const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    out: { type: 'string', default: 'bench/results' },
  },
});
const TOP = 25;

const folder = mkdtempSync(join(tmpdir(), 'enc-server-ts-profile-'));
const servers = await startOurs(join(folder, 'data'), undefined, (role) => [
  '--cpu-prof',
  '--cpu-prof-interval',
  '200',
  '--cpu-prof-dir',
  join(folder, role),
]);
try {
  const seconds = Number(flags.seconds);
  const load = { bytes: 1024, connections: 64, depth: 1, seconds } as const;
  for (const [operation, { perSecond }] of await measure(servers, {
    ...load,
    operations: ['store', 'retrieve'],
  })) {
    process.stdout.write(`${operation}: ${Math.round(perSecond)} a second\n`);
  }
} finally {
  await servers.stop();
}
mkdirSync(flags.out, { recursive: true });
for (const role of ['fe', 'be']) {
  const [file = ''] = readdirSync(join(folder, role));
  const profile = JSON.parse(readFileSync(join(folder, role, file), 'utf8')) as Profile;
  writeFileSync(join(flags.out, `${role}.cpuprofile`), JSON.stringify(profile));
  writeFileSync(join(flags.out, `${role}.svg`), flameOf(profile));
  process.stdout.write(`\n${role}, by what each function takes itself:\n`);
  for (const { name, url, share } of selfTimes(profile).slice(0, TOP)) {
    process.stdout.write(`${(100 * share).toFixed(1).padStart(5)} %  ${name}  ${basename(url)}\n`);
  }
}
rmSync(folder, { recursive: true, force: true });
