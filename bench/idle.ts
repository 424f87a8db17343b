/**
 * `node idle.js PORT COUNT`: opens connections that each ask once (PING) and are then silent.
 * Prints how many are open, and closes them when its input ends. One source address has about
 * 28,000 ports, which is enough.
 */
import { connect } from 'node:net';
import { encodeRequest } from '../lib/protocol/frame.ts';
import { OPCODE } from '../lib/protocol/messages.ts';

/** How many connect at once; more would overrun the queue of the listening socket. */
const AT_ONCE = 100;

const [port = 0, count = 0] = process.argv.slice(2).map(Number);
const ping = Buffer.concat(encodeRequest(OPCODE.PING, 1, []));
let open = 0;

async function openOne(): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('error', reject);
    socket.once('data', () => resolve());
    socket.write(ping);
  });
  open++;
}

async function openAll(): Promise<void> {
  for (let next = 0; next < count; next += AT_ONCE) {
    const some = Math.min(AT_ONCE, count - next);
    await Promise.all(Array.from({ length: some }, openOne));
  }
}

await openAll();
process.stdout.write(`${open}\n`);
process.stdin.on('end', () => process.exit(0)).resume();
