/** A TCP proxy before MongoDB, which breaks connections as a network does. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { BSON } from 'mongodb';

const TARGET = /^mongodb:\/\/(?:[^@/]*@)?([^:/?,]+)(?::(\d+))?/;

export class MongoProxy {
  /** Connection string that leads through the proxy. */
  readonly uri: string;
  /** Bytes from MongoDB that were thrown away since that was asked for. */
  swallowedBytes = 0;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #swallows = false;
  /** How the command whose answer is lost names itself. */
  #command: Buffer | undefined;
  /** What is answered in place of MongoDB. */
  #reply: { readonly command: Buffer; readonly document: BSON.Document } | undefined;

  private constructor(target: { host: string; port: number }, server: Server) {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    this.#target = target;
    this.#server = server;
    this.#port = address.port;
    this.uri = `mongodb://127.0.0.1:${this.#port}/?directConnection=true`;
    server.on('connection', (socket) => this.#serve(socket));
  }

  /** A proxy before the first server of a connection string. */
  static async open(uri: string): Promise<MongoProxy> {
    const [, host = 'localhost', port = '27017'] = TARGET.exec(uri) ?? [];
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new MongoProxy({ host, port: Number(port) }, server);
  }

  /** Breaks every connection; new ones are taken. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** From now on MongoDB gets what it is sent, and its answers are thrown away. */
  swallowAnswers(): void {
    this.swallowedBytes = 0;
    this.#swallows = true;
  }

  /** The answer to the next command of this name is thrown away; its connection stays. */
  swallowAnswerTo(command: string): void {
    this.swallowedBytes = 0;
    this.#command = commandName(command);
  }

  /** MongoDB gets the next command of this name, and its caller this answer in place of its own. */
  answerTo(command: string, document: BSON.Document): void {
    this.#reply = { command: commandName(command), document };
  }

  /** Breaks every connection, and refuses new ones. */
  async goAway(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    server?.close();
    this.cut();
    if (server !== undefined) await once(server, 'close');
  }

  /** Takes connections again, at the same port. */
  async comeBack(): Promise<void> {
    this.#swallows = false;
    const server = createServer((socket) => this.#serve(socket));
    this.#server = server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
  }

  async close(): Promise<void> {
    await this.goAway();
  }

  #serve(client: Socket): void {
    const mongo = connect(this.#target);
    for (const socket of [client, mongo]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        client.destroy();
        mongo.destroy();
      });
    }
    let isLost = false;
    let reply: BSON.Document | undefined;
    client.on('data', (chunk) => {
      if (this.#command !== undefined && chunk.includes(this.#command)) {
        isLost = true;
        this.#command = undefined;
      }
      if (this.#reply !== undefined && chunk.includes(this.#reply.command)) {
        reply = this.#reply.document;
        this.#reply = undefined;
      }
      mongo.write(chunk);
    });
    mongo.on('data', (chunk) => {
      if (reply !== undefined) {
        client.write(answerInstead(chunk, reply));
        reply = undefined;
      } else if (this.#swallows || isLost) this.swallowedBytes += chunk.length;
      else client.write(chunk);
    });
  }
}

/** A command's name as it begins the command. */
function commandName(command: string): Buffer {
  return Buffer.from(`\x02${command}\0`, 'latin1');
}

/** An OP_MSG that answers the same command as another one. */
function answerInstead(answer: Buffer, document: BSON.Document): Buffer {
  // The header stays but for its length; flags and the kind of the section are zero.
  const message = Buffer.concat([
    answer.subarray(0, 16),
    Buffer.alloc(5),
    BSON.serialize(document),
  ]);
  message.writeInt32LE(message.length);
  return message;
}
