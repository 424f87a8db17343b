/**
 * What a failure becomes in gRPC, and which code of ours it has where grpc-js answers by itself.
 */
import { Metadata, type ServerInterceptingCallInterface, type StatusObject } from '@grpc/grpc-js';
import { EncServerError, type ErrorCode, GRPC } from '../errors.ts';

/** How a call ends. */
export type GrpcStatus = Parameters<ServerInterceptingCallInterface['sendStatus']>[0];

/** The code for programs, in the trailing metadata. */
const CODE_KEY = 'enc-error-code';
const WORDS_MAX = 200;

/** Our codes for the statuses that grpc-js gives a call before there is a reply. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  [GRPC.resourceExhausted]: 'FRAME_TOO_LARGE',
  [GRPC.deadlineExceeded]: 'TIMEOUT',
  // Another compression, no message, or more than one.
  [GRPC.unimplemented]: 'UNKNOWN_FIELD',
  // Data that cannot be unpacked, or a malformed deadline: not a defect of this server.
  [GRPC.internal]: 'INVALID_FIELD',
};

/** What a failure becomes: the words for people, and the code for programs. */
export function statusOf(error: EncServerError): StatusObject {
  const metadata = new Metadata();
  metadata.set(CODE_KEY, error.code);
  return { code: error.row.grpc, details: error.describe(), metadata };
}

/** Whether it is a failure that has no code of ours yet. */
export function isBare({ code, metadata }: GrpcStatus): boolean {
  return code !== 0 && (metadata?.get(CODE_KEY).length ?? 0) === 0;
}

/** @param isReplying Whether grpc-js was given a reply: a failure after that is our defect */
export function errorOfBare(
  { code, details = '' }: GrpcStatus,
  isReplying: boolean,
): EncServerError {
  const isDefect = isReplying && code === GRPC.internal;
  const known = isDefect ? undefined : CODES[code ?? GRPC.internal];
  if (known !== undefined) return new EncServerError(known, details.slice(0, WORDS_MAX));
  const cause = new Error(`gRPC status ${code}: ${details}`);
  return new EncServerError('INTERNAL', 'something failed inside the server', { cause });
}
