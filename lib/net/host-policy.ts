import { isIPv4 } from 'node:net';
import { EncServerError } from '../errors.ts';

/** Whether a host is reached from this machine alone: `localhost`, 127.0.0.0/8 or ::1. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true;
  return isIPv4(host) && host.startsWith('127.');
}

/**
 * A server without authentication stays on loopback unless somebody says otherwise on purpose.
 * Throws `NOT_ALLOWED`, naming the setting.
 */
export function checkHost(host: string, allowOpen: boolean): void {
  if (allowOpen || isLoopback(host)) return;
  const hint =
    'whoever reaches the port could ask; allow it on purpose with --allow-open, ' +
    'ENC_SERVER_TS_ALLOW_OPEN=1 or "allowOpen" in the configuration file';
  throw new EncServerError('NOT_ALLOWED', `${host} is not loopback, and nobody is authenticated`, {
    hint,
  });
}
