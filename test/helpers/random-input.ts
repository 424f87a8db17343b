/**
 * Random input that is the same in every run, unless `SEED` asks for other and `FUZZ_RUNS` for
 * more. A failure prints its seed.
 */
import fc from 'fast-check';

/** Says how much the properties of this file try, where nothing else is asked for. */
export function drawInput(seed: number, numRuns = 800): void {
  const asked = { seed: seedOr(seed), numRuns: wholeNumber('FUZZ_RUNS') ?? numRuns };
  fc.configureGlobal(asked);
}

export function seedOr(seed: number): number {
  return wholeNumber('SEED') ?? seed;
}

/** Throws where it is none: a run that was meant to repeat another must not be a third one. */
function wholeNumber(name: string): number | undefined {
  const text = process.env[name];
  if (text === undefined) return undefined;
  if (/^-?\d{1,10}$/.test(text)) return Number(text);
  throw new Error(`${name} is no whole number`);
}
