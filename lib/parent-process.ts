/** What a process tells the one that started it, over the channel that Node makes for them. */
import { EncServerError, ERRORS, type ErrorCode } from './errors.ts';

/** Why a process does not start. */
export interface Failed {
  readonly kind: 'failed';
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

export function failedBy({ code, message, hint }: EncServerError): Failed {
  return { kind: 'failed', code, message, hint };
}

export function errorOf({ code, message, hint }: Failed): EncServerError {
  const known = code in ERRORS ? (code as ErrorCode) : 'INTERNAL';
  return new EncServerError(known, message, { hint });
}

/** Resolves once the message is handed over, or there is no parent any more. */
export function tellParent(message: object): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(message, () => resolve());
    else resolve();
  });
}
