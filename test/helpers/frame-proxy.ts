/** A proxy before a back end that holds back single requests until the test lets them go. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { startFe } from '../../lib/fe/server.ts';
import { silentLog } from '../../lib/log.ts';
import type { RunningServer } from '../../lib/net/port.ts';
import type { TestServers } from './servers.ts';

interface Catch {
  readonly opcode: number;
  /** How many of these requests pass before one is held. */
  skips: number;
  readonly caught: (release: () => void) => void;
}

export class FrameProxy {
  readonly #server: Server;
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  readonly #catches: Catch[] = [];

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.#port = port;
    server.on('connection', (socket) => this.#serve(socket));
  }

  static async open(port: number): Promise<FrameProxy> {
    const server = createServer({ noDelay: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FrameProxy(server, port);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /**
   * Holds the next request with this opcode, after so many others. Resolves, once it is held, to
   * what lets it go. All other requests pass.
   */
  hold(opcode: number, skips = 0): Promise<() => void> {
    return new Promise((caught) => this.#catches.push({ opcode, skips, caught }));
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }

  #serve(client: Socket): void {
    const server = connect({ port: this.#port, host: '127.0.0.1', noDelay: true });
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => other.destroy());
    }
    server.on('data', (chunk: Buffer) => client.write(chunk));
    let rest: Buffer = Buffer.alloc(0);
    client.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
        const bytes = 4 + rest.readUInt32BE(0);
        this.#pass(rest.subarray(0, bytes), server);
        rest = rest.subarray(bytes);
      }
    });
  }

  #pass(frame: Buffer, server: Socket): void {
    const at = this.#catches.findIndex(({ opcode }) => opcode === frame.readUInt16BE(6));
    const caught = this.#catches[at];
    if (caught === undefined || caught.skips-- > 0) {
      server.write(frame);
      return;
    }
    this.#catches.splice(at, 1);
    caught.caught(() => server.write(frame));
  }
}

/** Another front end of the same servers, whose requests the proxy may hold. */
export async function startHeldFe({ config, be }: TestServers): Promise<{
  readonly fe: RunningServer;
  readonly proxy: FrameProxy;
  close(): Promise<void>;
}> {
  const proxy = await FrameProxy.open(be.port);
  const link = { ...config.beClientConfigs, serverAddr: `127.0.0.1:${proxy.port}` };
  const fe = await startFe({ ...config, beClientConfigs: link }, silentLog);
  return {
    fe,
    proxy,
    async close() {
      await fe.close();
      await proxy.close();
    },
  };
}
