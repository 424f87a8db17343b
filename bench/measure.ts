/** Measures one load on one server, and what it cost each of the processes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Operation, Phase, Plan } from './generator.ts';
import { cpuMicrosOf, type Running } from './peers/processes.ts';

const GENERATOR = fileURLToPath(new URL('./generator.js', import.meta.url));

/** The figures of one operation in one round. */
export interface Seen extends Omit<Phase, 'startedAtMs' | 'endedAtMs'> {
  /** Processor time of each process per operation, in microseconds; the generator's included. */
  readonly cpu: Readonly<Record<string, number>>;
}

/** Runs the generator; reads the servers' processor time at the beginning and end of each phase. */
export async function measure(
  { target, processes }: Running,
  plan: Omit<Plan, 'target'>,
  change: Partial<Plan['target']> = {},
): Promise<Map<Operation, Seen>> {
  const whole: Plan = { ...plan, target: { ...target, ...change } };
  const child = spawn(process.execPath, [GENERATOR, JSON.stringify(whole)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const seen = new Map<Operation, Seen>();
  let before: Record<string, number> = {};
  const used = () =>
    Object.fromEntries(Object.entries(processes).map(([name, pid]) => [name, cpuMicrosOf(pid)]));
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line) as Phase | { readonly begins: Operation };
    if ('begins' in said) {
      before = used();
      continue;
    }
    const { startedAtMs, endedAtMs, ...phase } = said;
    const count = (said.perSecond * (endedAtMs - startedAtMs)) / 1_000;
    const cpu = Object.fromEntries(
      Object.entries(used()).map(([name, micros]) => [
        name,
        (micros - (before[name] ?? 0)) / count,
      ]),
    );
    seen.set(phase.operation, { ...phase, cpu: { ...cpu, generator: phase.cpuMicros } });
  }
  const [code] = await ended;
  if (code !== 0) throw new Error(`the load generator ended with ${code}`);
  return seen;
}
