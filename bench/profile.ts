/**
 * `node profile.js [--seconds N] [--bytes N] [--out FOLDER]`: where both servers spend their time
 * under the load of 64 callers that store and retrieve records of 1 KiB, or of another size. Writes
 * a CPU profile of each (for Chrome's developer tools), a flame graph, and the most expensive
 * functions as text, which it also prints.
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
    bytes: { type: 'string', default: '1024' },
    out: { type: 'string', default: 'bench/results' },
  },
});
const TOP = 25;
const bytes = Number(flags.bytes);
if (!Number.isSafeInteger(bytes) || bytes < 1) {
  process.stderr.write(`no number of bytes: ${flags.bytes}\n`);
  process.exit(2);
}
const lines = [`records of ${bytes} B, 64 callers`];

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
  const load = { bytes, connections: 64, depth: 1, seconds };
  for (const [operation, { perSecond }] of await measure(servers, {
    ...load,
    operations: ['store', 'retrieve'],
  })) {
    lines.push(`${operation}: ${Math.round(perSecond)} a second`);
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
  lines.push('', `${role}, by what each function takes itself:`);
  for (const { name, url, share } of selfTimes(profile).slice(0, TOP)) {
    lines.push(`${(100 * share).toFixed(1).padStart(5)} %  ${name}  ${basename(url)}`.trimEnd());
  }
}
const report = `${lines.join('\n')}\n`;
writeFileSync(join(flags.out, `profile-${bytes}.txt`), report);
process.stdout.write(report);
rmSync(folder, { recursive: true, force: true });
