/** A listener with limits and surfaces of the test's own. */

import { type Gate as AccessGate, OPEN_GATE } from '../../lib/access.ts';
import { silentLog } from '../../lib/log.ts';
import { type Budget, budgetOf } from '../../lib/net/budget.ts';
import { FrameConnection, type FrameSurface, type Reply } from '../../lib/net/frame-connection.ts';
import { Listener, type ListenerOptions } from '../../lib/net/listener.ts';
import type { RequestContext } from '../../lib/net/request.ts';
import { TextConnection } from '../../lib/net/text-connection.ts';
import { Traffic } from '../../lib/net/traffic.ts';
import type { Frame } from '../../lib/protocol/frame.ts';
import { DEFAULT_LIMITS, type Limits } from '../../lib/protocol/limits.ts';

export interface ListeningOptions extends Partial<Omit<ListenerOptions, 'dialects'>> {
  readonly limits?: Partial<Limits>;
  readonly gate?: AccessGate;
  readonly frames?: FrameSurface['handle'];
  readonly text?: (line: string, context: RequestContext) => Promise<string | undefined>;
}

export interface Listening {
  readonly port: number;
  readonly budget: Budget;
  readonly listener: Listener;
  close(timeoutMs?: number): Promise<void>;
}

/** Frames are answered with their bodies, lines with themselves, unless said otherwise. */
export async function startListening(options: ListeningOptions = {}): Promise<Listening> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const budget = budgetOf(limits.bytesInFlightMax);
  const host = {
    limits,
    budget,
    log: silentLog,
    gate: options.gate ?? OPEN_GATE,
    traffic: new Traffic(limits.requestsMax),
  };
  const echoFrame = async (frame: Frame): Promise<Reply> => ({ fields: [], body: frame.body });
  const handle = options.frames ?? echoFrame;
  const text = options.text ?? (async (line: string) => line);
  const handleLine = async (line: Buffer, context: RequestContext) => {
    const answer = await text(line.toString(), context);
    return answer === undefined ? undefined : Buffer.from(`${answer}\n`);
  };
  const listener = new Listener(
    {
      host: options.host ?? '127.0.0.1',
      port: options.port ?? 0,
      connectionsMax: options.connectionsMax ?? 100,
      connectionsPerAddressMax: options.connectionsPerAddressMax ?? 100,
      allowPlaintext: options.allowPlaintext ?? false,
      tls: options.tls,
      portFlag: options.portFlag ?? '--port',
      dialects: {
        frames: { connect: (socket) => new FrameConnection(socket, host, { handle }) },
        text: { connect: (socket) => new TextConnection(socket, host, { handle: handleLine }) },
      },
    },
    host,
  );
  await listener.listen();
  return {
    port: listener.port,
    budget,
    listener,
    close: (timeoutMs = 0) => listener.close(timeoutMs),
  };
}

/** Something that a test lets happen when it wants. */
export class Gate {
  open: () => void = () => undefined;
  readonly opened: Promise<void>;

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }
}
