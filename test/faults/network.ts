/** What networks do to the connections between two programs. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultProxy } from '../helpers/fault-proxy.ts';

const DELAYED_MS = 300;

/** By name: each kind of fault, and the pair. */
export function networkFaults(
  pair: string,
  proxy: FaultProxy,
  random: (below: number) => number,
): Record<string, () => Promise<void>> {
  return {
    [`cut${pair}`]: async () => proxy.cut(),
    [`halve${pair}`]: async () => proxy.halve(1 + random(3)),
    [`delay${pair}`]: async () => {
      proxy.delayMs = 1 + random(50);
      await sleep(DELAYED_MS);
      proxy.delayMs = 0;
    },
  };
}
