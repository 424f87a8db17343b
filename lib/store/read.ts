import type { EncServerError } from '../errors.ts';
import type { StoredValue } from './store.ts';

/** One value that somebody waits for. */
export interface Read {
  readonly key: Buffer;
  /** Bodies above this are left out of the result, in bytes; below 0 every body is. */
  readonly bodyBytesMax: number;
  readonly resolve: (value: StoredValue | undefined) => void;
  readonly reject: (error: EncServerError) => void;
}
