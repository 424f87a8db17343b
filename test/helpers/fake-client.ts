/** A client of the front end against a script, and the usual scripts. */
import { EncServerError, type ErrorCode } from '../../lib/errors.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { bytesField, u8Field } from '../../lib/protocol/fields.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { FakeServer, type Script } from './fake-server.ts';

export const KEY = Buffer.from([...Array(32).keys()]);
export const DONE = [bytesField(FIELD.REVISION, Buffer.alloc(8, 1)), u8Field(FIELD.REPLACED, 0)];

export function words(code: ErrorCode): EncServerError {
  return new EncServerError(code, 'as the script says');
}

/** Runs a client against a script; the last request is answered when it is not said otherwise. */
export async function withFake(
  script: Script,
  run: (client: FeClient, fake: FakeServer) => Promise<void>,
  options: { readonly timeoutMs?: number; readonly connections?: number } = {},
): Promise<void> {
  const fake = await FakeServer.start(script, 0, true);
  const client = new FeClient({ address: fake.address, ...options });
  try {
    await run(client, fake);
  } finally {
    client.close();
    await fake.close();
  }
}

/** Does `first` with the first request that is not CANCEL, and answers the others. */
export function onlyOnce(first: Script): Script {
  let seen = 0;
  return (request, peer) => {
    if (request.code === OPCODE.CANCEL) return;
    if (++seen === 1) first(request, peer);
    else peer.reply(request, DONE);
  };
}

export const breaks: Script = (_request, peer) => peer.socket.resetAndDestroy();
export const refuses =
  (code: ErrorCode): Script =>
  (request, peer) =>
    peer.refuse(request.requestId, words(code));
