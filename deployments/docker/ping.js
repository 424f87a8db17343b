/**
 * The health check of the containers: asks a server for a PONG, as `nc` would.
 * `node ping.js [PORT] [HOST]`; exits with 0 if the server answers within 3 seconds, else 1.
 */
import { connect } from 'node:net';

const TIMEOUT_MS = 3_000;
const ANSWER = 'PONG\n';

const [port = '7777', host = '127.0.0.1'] = process.argv.slice(2);

function end(code, words) {
  process.stderr.write(words);
  process.exit(code);
}

setTimeout(() => end(1, `${host}:${port} did not answer in time\n`), TIMEOUT_MS);
let answer = '';
const socket = connect({ host, port: Number(port) }, () => socket.write('PING\n'));
socket.setEncoding('utf8');
socket.on('data', (text) => {
  answer += text;
  // Another server could go on for ever; no more is read than tells the two apart.
  if (answer === ANSWER) end(0, '');
  if (!ANSWER.startsWith(answer)) end(1, `${host}:${port} answered, but not with PONG\n`);
});
socket.on('end', () => end(1, `${host}:${port} hung up without a PONG\n`));
socket.on('error', (error) => end(1, `${host}:${port} cannot be reached: ${error.code}\n`));
