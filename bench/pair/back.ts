/**
 * The second process of a bare pair, `node back.js FOLDER`: what it is sent, it writes to LevelDB,
 * all that waits in one synced batch. It looks nothing up before it writes.
 */
import { type AddressInfo, createServer } from 'node:net';
import { ClassicLevel } from 'classic-level';
import { type Asked, NO_BYTES, serve } from './link.ts';

const database = new ClassicLevel<Buffer, Buffer>(process.argv[2] ?? '', {
  keyEncoding: 'buffer',
  valueEncoding: 'buffer',
  compression: false,
  writeBufferSize: 64 * 1024 * 1024,
});
await database.open();

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => undefined);
  let waiting: Asked[] = [];
  let isWriting = false;
  const write = async () => {
    if (isWriting) return;
    isWriting = true;
    while (waiting.length > 0) {
      const group = waiting;
      waiting = [];
      const batch = database.batch();
      for (const { key, value } of group) batch.put(key, value);
      await batch.write({ sync: true });
      for (const { id } of group) answer(id, NO_BYTES);
    }
    isWriting = false;
  };
  const answer = serve(
    socket,
    (asked) => {
      if (asked.writes) waiting.push(asked);
      else answer(asked.id, database.getSync(asked.key) ?? NO_BYTES);
    },
    () => void write(),
  );
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`listening on 127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.on('SIGTERM', () => process.exit(0));
