/**
 * A clock that steps: loaded into a server before everything else (`--import`), it reads from the
 * file `CLOCK_FILE` how many milliseconds the server is ahead of the machine.
 */
import { readFileSync } from 'node:fs';

const file = process.env['CLOCK_FILE'] ?? '';
const machine = Date.now.bind(Date);
const LOOK_MS = 20;
let aheadMs = 0;

Date.now = () => machine() + aheadMs;
setInterval(() => {
  try {
    aheadMs = Number(readFileSync(file, 'utf8')) || 0;
  } catch {
    // It is there once the clock steps for the first time.
  }
}, LOOK_MS).unref();
