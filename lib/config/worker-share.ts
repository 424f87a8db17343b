/** What one worker of a front end gets of the settings for the whole server. */
import { limitsFor } from '../protocol/limits.ts';
import type { Config } from './load.ts';

/** The settings that are divided among workers, and those that limit how far. */
interface Divided {
  readonly workers: number;
  readonly requestsMax: number;
  readonly bytesInFlightMax: number;
  readonly handshakesMax: number;
  readonly recordBytesMax: number;
}

/**
 * The settings of a worker, counted from 1: what a process holds or does at once is divided, so
 * that all workers together have what was set. The bounds on connections, and on how often a caller
 * may ask, are counted for all workers together, and stay.
 */
export function workerShare(config: Config, worker: number): Config {
  const { feServerConfigs: section } = config;
  const share = (whole: number) => shareOf(whole, worker, section.workers);
  return {
    ...config,
    feServerConfigs: {
      ...section,
      requestsMax: share(section.requestsMax),
      bytesInFlightMax: share(section.bytesInFlightMax),
      handshakesMax: share(section.handshakesMax),
    },
  };
}

/** A part of a whole; all parts add up to the whole. The first ones get the remainder. */
function shareOf(whole: number, part: number, parts: number): number {
  return Math.floor(whole / parts) + (part <= whole % parts ? 1 : 0);
}

/** Every worker must be able to hold the longest record as a line, and to do something at all. */
export function enoughForWorkers(section: Divided): boolean {
  const { workers, requestsMax, bytesInFlightMax, handshakesMax, recordBytesMax } = section;
  if (workers === 1) return true;
  const bytes = Math.floor(bytesInFlightMax / workers);
  const hasRoom = bytes >= limitsFor(recordBytesMax).lineBytesMax;
  return hasRoom && requestsMax >= workers && handshakesMax >= workers;
}

export const ENOUGH_FOR_WORKERS = {
  path: ['workers'],
  message:
    'expected so few that bytesInFlightMax divided by them is 4/3 of recordBytesMax and 64 KiB, ' +
    'and no more than requestsMax and handshakesMax',
};
