/** The process of one worker of a front end. Its argument is the number of the worker. */
import { serveAsWorker } from './serve-worker.ts';
import { runProgram } from './terminal.ts';

const number = Number(process.argv[2]);
process.exit(await runProgram('fe-server', () => serveAsWorker(number)));
