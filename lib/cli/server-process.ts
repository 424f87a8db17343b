/** The process that `enc-server up` starts for each server. Its argument is the role. */

import { serveUnderParent } from './serve.ts';
import { runProgram } from './terminal.ts';

const role = process.argv[2] === 'be' ? 'be' : 'fe';
process.exit(await runProgram(`${role}-server`, () => serveUnderParent(role)));
