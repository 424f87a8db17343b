/** Who is behind a request, in the words of an audit log. */
import type { RequestContext } from './request.ts';

export interface Asker {
  /** The label of the caller; `server` for the server itself. */
  readonly who: string;
  /** IP address; empty for the server itself. */
  readonly from: string;
  /** Trace ID as 32 hexadecimal digits. */
  readonly trace: string;
}

export function askerOf(context: RequestContext): Asker {
  const { caller, address, trace } = context.cause ?? context;
  const who = address === '' ? 'server' : caller.label;
  return { who, from: address, trace: trace.toString('hex') };
}
